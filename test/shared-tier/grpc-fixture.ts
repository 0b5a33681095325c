import { GrpcServer, type GrpcServerOptions } from '../../shared-tier/grpc-server.ts';
import { Seal } from '../../shared-tier/seal.ts';
import { SignedReads } from '../../shared-tier/signed-reads.ts';

/** A gRPC server on a port of its own, of a replica that says it is at `replica.test:5061`. */
export async function grpcServerOf(
  { images, access }: Pick<GrpcServerOptions, 'images' | 'access'>,
  options: Omit<GrpcServerOptions, 'listen' | 'images' | 'access' | 'reads'>,
): Promise<GrpcServer> {
  const reads = new SignedReads({
    images,
    seal: new Seal(Buffer.alloc(32), 'read'),
    advertise: () => 'replica.test:5061',
    events: { sent: () => undefined, ended: () => undefined },
  });
  return await GrpcServer.start({ listen: { host: '127.0.0.1', port: 0 }, images, access, reads, ...options });
}
