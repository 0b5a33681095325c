import type { Socket } from 'node:net';
import type { ReadPeer } from '../../service/range-read.ts';
import type { Caller } from '../../agent/grants.ts';
import { connectSecure } from '../../agent/tier-connect.ts';
import type { Connect } from '../../service/read-connection.ts';
import { openTierRead } from '../../agent/tier-read.ts';
import { BufferPool, type PooledBuffer } from '../../content/buffer-pool.ts';
import type { Chunks } from '../../content/chunk.ts';
import { OciError } from '../../oci/error.ts';
import type { ByteRange } from '../../oci/range.ts';
import { parseRegistry, parseRepository } from '../../oci/reference.ts';
import { generatedBlob, readBytes } from '../support/blobs.ts';
import type { TestCa } from '../support/certificates.ts';
import { type Script, type ScriptedServer, headOf, rangeIn, scripted } from '../support/house-tcp.ts';
import { testMaterial } from '../support/material.ts';

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

/** The same, of many more buffers than a pool here has. */
export const LARGE = { start: 0, end: 3_000_000, bytes: readBytes(generatedBlob(3_000_000)) };

/** A pool of a few small buffers. */
export function pool(bufferBytes = 16 * 1024): BufferPool {
  return new BufferPool({ bufferBytes, totalBytes: BUFFERS * bufferBytes });
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
  readonly connect?: Connect;
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
const goodOf =
  (bytes: Buffer) =>
  (socket: Socket, request: string): void => {
    const { first, last } = rangeIn(request);
    socket.write(headOf(last + 1 - first));
    socket.end(bytes.subarray(first, last + 1));
  };

export const good = goodOf(BYTES);
export const goodLarge = goodOf(LARGE.bytes);

/** A scripted tier, read from over TLS if there is a CA for its certificate. */
export async function tierThat(
  script: Script,
  { ca, bufferBytes }: { ca?: TestCa | undefined; bufferBytes?: number } = {},
) {
  const stack = new AsyncDisposableStack();
  const server = stack.use(await scripted(script, ca?.issue({ names: ['tier.test'] })));
  const tls = ca && stack.use(await testMaterial({ ca: ca.pem }));
  const connect = tls && connectSecure({ material: tls.material, serviceName: 'tier.test' });
  const buffers = pool(bufferBytes);
  return {
    server,
    pool: buffers,
    open: async (reading: Reading = {}) =>
      await open(server, { pool: buffers, ...(connect && { connect }), ...reading }),
    [Symbol.asyncDispose]: () => stack[Symbol.asyncDispose](),
  };
}
