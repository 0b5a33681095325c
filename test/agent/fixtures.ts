import type { Socket } from 'node:net';
import type { ReadPeer } from '../../agent/replica.ts';
import type { Caller } from '../../agent/grants.ts';
import type { ConnectTier } from '../../agent/tier-connect.ts';
import { openTierRead } from '../../agent/tier-read.ts';
import { BufferPool, type PooledBuffer } from '../../content/buffer-pool.ts';
import type { Chunks } from '../../content/chunk.ts';
import { OciError } from '../../oci/error.ts';
import type { ByteRange } from '../../oci/range.ts';
import { parseRegistry, parseRepository } from '../../oci/reference.ts';
import { generatedBlob, readBytes } from '../support/blobs.ts';
import { type ScriptedServer, headOf, rangeIn } from '../support/house-tcp.ts';

const REGISTRY = parseRegistry('registry.test');
/** Who asks without credentials. */
export const CALLER: Caller = {
  registry: REGISTRY,
  repository: parseRepository('org/app', REGISTRY),
  form: 'ns',
  authorization: undefined,
};
/** How many buffers a pool here has. */
export const BUFFERS = 8;
/** What the tier has. */
export const BYTES = readBytes(generatedBlob(300_000));

/** A pool of a few small buffers. */
export function pool(): BufferPool {
  return new BufferPool({ bufferBytes: 16 * 1024, totalBytes: BUFFERS * 16 * 1024 });
}

/** Takes all that is free, and tells how much that is. */
export function drain(from: BufferPool): PooledBuffer[] {
  const taken: PooledBuffer[] = [];
  for (let buffer = from.tryAcquire(); buffer; buffer = from.tryAcquire()) taken.push(buffer);
  return taken;
}

/** All bytes; gives each chunk back. */
export async function collect(chunks: Chunks): Promise<Buffer> {
  const pieces: Buffer[] = [];
  for await (const chunk of chunks) {
    pieces.push(Buffer.from(chunk.bytes));
    chunk.release();
  }
  return Buffer.concat(pieces);
}

export interface Reading {
  readonly range?: ByteRange;
  readonly signal?: AbortSignal;
  readonly pool?: BufferPool;
  readonly peer?: ReadPeer;
  readonly connect?: ConnectTier;
  readonly headMs?: number;
  readonly silenceMs?: number;
}

/** Begins to read from a scripted tier. */
export async function open(server: ScriptedServer, { range = { start: 0, end: BYTES.length }, ...more }: Reading = {}) {
  return await openTierRead(server.url, range, { pool: pool(), signal: new AbortController().signal, ...more });
}

/** The code that a promise is rejected with. */
export async function codeOf(promise: Promise<unknown>): Promise<string> {
  return await promise.then(
    () => 'none',
    (error: unknown) => OciError.from(error).code,
  );
}

/** Answers with the bytes that were asked for. */
export const good = (socket: Socket, request: string): void => {
  const { first, last } = rangeIn(request);
  socket.write(headOf(last + 1 - first));
  socket.end(BYTES.subarray(first, last + 1));
};
