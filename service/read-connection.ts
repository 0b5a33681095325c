import { type Socket, connect } from 'node:net';
import { type ConnectionOptions, type TLSSocket, connect as connectTls } from 'node:tls';
import { hostOf } from './units.ts';
import { OciError } from '../oci/error.ts';
import { GatheredReads, type Receiver } from './gathered-reads.ts';

/** A connection that is being made, read into its receiver's buffers. */
export interface ReadConnection {
  readonly socket: Socket;
  /** The socket's event after which something may be written: not before it is known who is there. */
  readonly ready: 'connect' | 'secureConnect';
  /** After the receiver has stopped the reading. */
  resume(): void;
  /** Ends it; the receiver is not called any more. */
  close(): void;
}

/** @throws OciError UNAVAILABLE when the URL is not one for this way of connecting */
export type Connect = (url: URL, receiver: Receiver) => ReadConnection;

/** Without TLS. */
export const connectPlain: Connect = (url, receiver) => {
  const { buffer, callback, ended } = receiver;
  const socket = connect({ ...targetOf(url, 'http:'), onread: { buffer, callback } });
  socket.on('error', ended);
  socket.on('close', () => ended(undefined));
  return { socket, ready: 'connect', resume: () => socket.resume(), close: () => socket.destroy() };
};

/** With TLS. */
export function connectSecurely(
  url: URL,
  receiver: Receiver,
  options: ConnectionOptions,
): ReadConnection & { readonly socket: TLSSocket } {
  const gathered = new GatheredReads(receiver);
  const all: ConnectionOptions & { onread: unknown } = {
    ...targetOf(url, 'https:'),
    ...options,
    onread: gathered.onread, // documented, but not in the types
  };
  const socket = connectTls(all);
  gathered.follow(socket);
  socket.on('error', (error) => gathered.end(error));
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
}

function targetOf(url: URL, protocol: 'http:' | 'https:'): { host: string; port: number } {
  if (url.protocol !== protocol) {
    const cause = new Error(`its reads are at ${url.protocol}//, expected ${protocol}//`);
    throw new OciError('UNAVAILABLE', 'there was no usable answer', { cause });
  }
  const port = url.port === '' ? { 'http:': 80, 'https:': 443 }[protocol] : Number(url.port);
  return { host: hostOf(url), port };
}
