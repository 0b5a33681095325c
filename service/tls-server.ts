import type { RequestListener } from 'node:http';
import { type Server, createServer } from 'node:https';
import { MIN_TLS, type TlsMaterial } from './tls-material.ts';

/** What a server speaks TLS with, and whom it tells of clients that cannot. */
export interface ServerTls {
  readonly material: TlsMaterial;
  readonly handshakeFailed: (error: Error) => void;
}

const HANDSHAKE_MS = 10_000;

/** An https server whose new connections use what the material has at that moment; old ones go on as they began. */
export function createTlsServer({ material, handshakeFailed }: ServerTls, handler: RequestListener): Server {
  const options = () => {
    const { cert, key } = material.contents;
    return { cert, key, minVersion: MIN_TLS } as const;
  };
  const server = createServer({ ...options(), handshakeTimeout: HANDSHAKE_MS }, handler);
  const following = material.onChange(() => server.setSecureContext(options()));
  server.once('close', () => following[Symbol.dispose]());
  server.on('tlsClientError', handshakeFailed);
  return server;
}
