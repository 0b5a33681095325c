import { isIP } from 'node:net';
import { checkServerIdentity } from 'node:tls';
import { LRUCache } from 'lru-cache';
import { type Connect, connectSecurely } from '../service/read-connection.ts';
import type { TlsMaterial } from '../service/tls-material.ts';

export interface ConnectSecureOptions {
  readonly material: TlsMaterial;
  /** Whose certificate is expected, whatever address the URL has. */
  readonly serviceName: string;
  /** A connection failed before it was clear who is there. */
  readonly failed?: (error: Error) => void;
}

/** One per address of the tier, and some that have gone. */
const MAX_SESSIONS = 100;

/**
 * To the shared tier with TLS. Sessions are resumed, which saves a third of what a connection costs; not beyond a change of
 * certificates.
 */
export function connectSecure({ material, serviceName, failed }: ConnectSecureOptions): Connect {
  const sessions = new LRUCache<string, Buffer>({ max: MAX_SESSIONS });
  material.onChange(() => sessions.clear());
  return (url, receiver) => {
    const { context } = material;
    const session = sessions.get(url.host);
    const connection = connectSecurely(url, receiver, {
      secureContext: context,
      ...(isIP(serviceName) === 0 && { servername: serviceName }),
      checkServerIdentity: (_host, certificate) => checkServerIdentity(serviceName, certificate),
      ...(session && { session }),
    });
    const { socket } = connection;
    let isSecure = false;
    socket.once('secureConnect', () => (isSecure = true));
    socket.on('session', (ticket) => {
      if (isSecure && material.context === context) sessions.set(url.host, ticket);
    });
    socket.on('error', (error) => {
      if (!isSecure) failed?.(error);
    });
    return connection;
  };
}
