import { type ServerUnaryCall, Server, ServerCredentials, type sendUnaryData } from '@grpc/grpc-js';
import { ReflectionService } from '@grpc/reflection';
import { HealthImplementation, protoPath } from 'grpc-health-check';
import { loadSync } from '@grpc/proto-loader';
import type { Descriptor } from '../oci/descriptor.ts';
import { parseDigest } from '../oci/digest.ts';
import { parseReference, parseRegistry, parseRepository } from '../oci/reference.ts';
import { OciError } from '../oci/error.ts';
import type { Grant as WireGrant } from '../proto/generated/circ/v1/Grant.ts';
import type { SharedTierHandlers } from '../proto/generated/circ/v1/SharedTier.ts';
import type { Target__Output } from '../proto/generated/circ/v1/Target.ts';
import { LOADER_OPTIONS, loadDefinition, loadServices } from '../proto/load.ts';
import { toGrpcError } from '../proto/status.ts';
import { type Address, formatAddress } from '../service/units.ts';
import type { Images } from './images.ts';
import type { Proofs } from './proofs.ts';
import type { Place } from './records.ts';
import type { SignedReads } from './signed-reads.ts';

export interface GrpcServerOptions {
  readonly listen: Address;
  readonly images: Images;
  readonly proofs: Proofs;
  readonly reads: SignedReads;
  /** How long a signed read may begin when there is no grant that bounds it; at most this. */
  readonly readTtlMs: number;
  /** One question was answered. */
  readonly report: (method: string, durationMs: number, error: OciError | undefined) => void;
}

/** The largest message: a manifest of 4 MiB and what goes with it. */
const MAX_MESSAGE_BYTES = 5 * 1024 * 1024;
const MAX_STREAMS = 1_000;
/** Even when proofs are not remembered, the read that one has just allowed must be able to begin. */
const MIN_READ_MS = 10_000;

/** `circ.v1.SharedTier`, health and reflection: proto on one side, `Images` on the other, nothing between. */
export class GrpcServer implements AsyncDisposable {
  readonly #options: GrpcServerOptions;
  readonly #server = new Server({
    'grpc.max_receive_message_length': 64 * 1024,
    'grpc.max_send_message_length': MAX_MESSAGE_BYTES,
    'grpc.max_concurrent_streams': MAX_STREAMS,
    'grpc.keepalive_time_ms': 30_000,
    'grpc.keepalive_timeout_ms': 5_000,
  });
  readonly #health = new HealthImplementation({ '': 'SERVING', 'circ.v1.SharedTier': 'SERVING' });
  #port = 0;

  private constructor(options: GrpcServerOptions) {
    this.#options = options;
  }

  static async start(options: GrpcServerOptions): Promise<GrpcServer> {
    const grpc = new GrpcServer(options);
    const server = grpc.#server;
    server.addService(loadServices().SharedTier.service, grpc.#handlers());
    grpc.#health.addToServer(server);
    const health = loadSync(protoPath, LOADER_OPTIONS);
    new ReflectionService({ ...loadDefinition(), ...health }).addToServer(server);
    const { promise, resolve, reject } = Promise.withResolvers<number>();
    server.bindAsync(formatAddress(options.listen), ServerCredentials.createInsecure(), (error, port) => {
      if (error) reject(error);
      else resolve(port);
    });
    grpc.#port = await promise;
    return grpc;
  }

  /** The port that is listened on. */
  get port(): number {
    return this.#port;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    // Agents that watch leave before anything of theirs breaks.
    for (const service of ['', 'circ.v1.SharedTier']) this.#health.setStatus(service, 'NOT_SERVING');
    const { promise, resolve } = Promise.withResolvers<undefined>();
    // Streams that stand open for ever (health watches) would hold an orderly end up.
    const timer = setTimeout(() => this.#server.forceShutdown(), 200);
    this.#server.tryShutdown(() => resolve(undefined));
    await promise;
    clearTimeout(timer);
  }

  #handlers(): SharedTierHandlers {
    const { images, proofs, reads } = this.#options;
    return {
      ResolveManifest: this.#answer('ResolveManifest', async ({ target, reference, accept, withContent }) => {
        const place = parsePlace(target);
        const resolved = await images.resolve({ place, reference: parseReference(reference), accept, withContent });
        return {
          manifest: toWire(resolved.descriptor),
          ...(resolved.content && { content: Buffer.from(resolved.content) }),
          readable: resolved.readable.map(toWire),
          fromOrigin: resolved.fromOrigin,
          ...grantOf(proofs, place),
        };
      }),
      OpenBlob: this.#answer('OpenBlob', async ({ target, digest: text, grant, statOnly }) => {
        const place = parsePlace(target);
        const digest = parseDigest(text);
        const question = { place, digest, grant };
        if (statOnly) {
          const { sizeBytes, fromOrigin } = await images.statBlob(question);
          return { size: sizeBytes, fromOrigin, ...grantOf(proofs, place) };
        }
        const { sizeBytes, fromOrigin } = await images.locateBlob(question);
        const validForMs = Math.max(MIN_READ_MS, proofs.grantOf(place)?.validForMs ?? this.#options.readTtlMs);
        return {
          size: sizeBytes,
          readUrl: reads.url(place.registry, digest, validForMs),
          validForMs,
          fromOrigin,
          ...grantOf(proofs, place),
        };
      }),
    };
  }

  #answer<Request, Response>(method: string, handle: (request: Request) => Promise<Response>) {
    return (call: ServerUnaryCall<Request, Response>, callback: sendUnaryData<Response>): void => {
      const startedAtMs = performance.now();
      handle(call.request).then(
        (response) => {
          this.#options.report(method, performance.now() - startedAtMs, undefined);
          callback(null, response);
        },
        (reason: unknown) => {
          const error = OciError.from(reason);
          this.#options.report(method, performance.now() - startedAtMs, error);
          callback(toGrpcError(error));
        },
      );
    };
  }
}

function parsePlace(target: Target__Output | null): Place {
  const registry = parseRegistry(target?.registry ?? '');
  return { registry, repository: parseRepository(target?.repository ?? '', registry) };
}

function toWire({ mediaType, digest, sizeBytes }: Descriptor): { mediaType: string; digest: string; size: number } {
  return { mediaType, digest, size: sizeBytes };
}

function grantOf(proofs: Proofs, place: Place): { grant?: WireGrant } {
  const grant = proofs.grantOf(place);
  return grant ? { grant: { token: Buffer.from(grant.token), validForMs: Math.floor(grant.validForMs) } } : {};
}
