import { type Socket, connect, isIP } from 'node:net';
import { type ConnectionOptions, checkServerIdentity, connect as connectTls } from 'node:tls';
import { LRUCache } from 'lru-cache';
import { OciError } from '../oci/error.ts';
import type { TlsMaterial } from '../service/tls-material.ts';
import { GatheredReads, type Receiver } from './gathered-reads.ts';

/** A connection to the shared tier that is being made, read into its receiver's buffers. */
export interface TierConnection {
  readonly socket: Socket;
  /** The socket's event after which something may be written: not before it is known who is there. */
  readonly ready: 'connect' | 'secureConnect';
  /** After the receiver has stopped the reading. */
  resume(): void;
  /** Ends it; the receiver is not called any more. */
  close(): void;
}

/** @throws OciError UNAVAILABLE when the URL is not one for this way of connecting */
export type ConnectTier = (url: URL, receiver: Receiver) => TierConnection;

/** Without TLS. */
export const connectPlain: ConnectTier = (url, receiver) => {
  const { buffer, callback, ended } = receiver;
  const socket = connect({ ...targetOf(url, 'http:'), onread: { buffer, callback } });
  socket.on('error', ended);
  socket.on('close', () => ended(undefined));
  return { socket, ready: 'connect', resume: () => socket.resume(), close: () => socket.destroy() };
};

export interface ConnectSecureOptions {
  readonly material: TlsMaterial;
  /** Whose certificate is expected, whatever address the URL has. */
  readonly serviceName: string;
  /** A connection failed before it was clear who is there. */
  readonly failed?: (error: Error) => void;
}

/** One per address of the tier, and some that have gone. */
const MAX_SESSIONS = 100;

/** With TLS. Sessions are resumed, which saves a third of what a connection costs; not beyond a change of certificates. */
export function connectSecure({ material, serviceName, failed }: ConnectSecureOptions): ConnectTier {
  const sessions = new LRUCache<string, Buffer>({ max: MAX_SESSIONS });
  material.onChange(() => sessions.clear());
  return (url, receiver) => {
    const target = targetOf(url, 'https:');
    const gathered = new GatheredReads(receiver);
    const { context } = material;
    const session = sessions.get(url.host);
    const options: ConnectionOptions & { onread: unknown } = {
      ...target,
      secureContext: context,
      onread: gathered.onread, // documented, but not in the types
      ...(isIP(serviceName) === 0 && { servername: serviceName }),
      checkServerIdentity: (_host, certificate) => checkServerIdentity(serviceName, certificate),
      ...(session && { session }),
    };
    const socket = connectTls(options);
    gathered.follow(socket);
    let isSecure = false;
    socket.once('secureConnect', () => (isSecure = true));
    socket.on('session', (ticket) => {
      if (isSecure && material.context === context) sessions.set(url.host, ticket);
    });
    socket.on('error', (error) => {
      if (!isSecure) failed?.(error);
      gathered.end(error);
    });
    socket.on('close', () => gathered.end(undefined));
    return {
      socket,
      ready: 'secureConnect',
      resume: () => gathered.resume(),
      close: () => {
        gathered.close();
        socket.destroy();
      },
    };
  };
}

function targetOf(url: URL, protocol: 'http:' | 'https:'): { host: string; port: number } {
  if (url.protocol !== protocol) {
    const cause = new Error(`its reads are at ${url.protocol}//, expected ${protocol}//`);
    throw new OciError('UNAVAILABLE', 'the shared tier gave no usable answer', { cause });
  }
  const port = url.port === '' ? { 'http:': 80, 'https:': 443 }[protocol] : Number(url.port);
  return { host: url.hostname.replace(/^\[(.*)\]$/, '$1'), port };
}
