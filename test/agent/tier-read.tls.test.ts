import { setTimeout as sleep } from 'node:timers/promises';
import { describe, expect, test } from 'vitest';
import { connectSecure } from '../../agent/tier-connect.ts';
import { openTierRead } from '../../agent/tier-read.ts';
import { BufferPool, type PooledBuffer } from '../../content/buffer-pool.ts';
import type { Chunk } from '../../content/chunk.ts';
import { OciError } from '../../oci/error.ts';
import { generatedBlob, readBytes } from '../support/blobs.ts';
import { TestCa } from '../support/certificates.ts';
import { type Script, headOf, rangeIn, scripted } from '../support/house-tcp.ts';
import { testMaterial } from '../support/material.ts';
import { codeOf, collect, drain } from './fixtures.ts';

const ca = new TestCa();
const BYTES = readBytes(generatedBlob(3_000_000));
const BUFFERS = 8;

/** The pool's own buffers are larger than a record of TLS, those of some tests smaller. */
async function secureTier(script: Script, { bufferBytes = 64 * 1024 } = {}) {
  const stack = new AsyncDisposableStack();
  const server = stack.use(await scripted(script, ca.issue({ names: ['tier.test'] })));
  const { material } = stack.use(await testMaterial({ ca: ca.pem }));
  const pool = new BufferPool({ bufferBytes, totalBytes: BUFFERS * bufferBytes });
  const connect = connectSecure({ material, serviceName: 'tier.test' });
  return {
    server,
    pool,
    open: async (
      options: { range?: { start: number; end: number }; signal?: AbortSignal; silenceMs?: number } = {},
    ) => {
      const { range = { start: 0, end: BYTES.length }, signal = new AbortController().signal, ...more } = options;
      return await openTierRead(server.url, range, { pool, signal, connect, ...more });
    },
    [Symbol.asyncDispose]: () => stack[Symbol.asyncDispose](),
  };
}

const good: Script = (socket, request) => {
  const { first, last } = rangeIn(request);
  socket.write(headOf(last + 1 - first));
  socket.end(BYTES.subarray(first, last + 1));
};

describe('openTierRead over TLS', () => {
  test.each([5_000, 64 * 1024, 256 * 1024])('reads every byte into buffers of %i bytes', async (bufferBytes) => {
    await using it = await secureTier(good, { bufferBytes });
    const range = { start: 1_234, end: 2_900_001 };
    expect((await collect(await it.open({ range }))).equals(BYTES.subarray(range.start, range.end))).toBe(true);
    expect(drain(it.pool)).toHaveLength(BUFFERS);
    await expect.poll(() => it.server.connections).toBe(0);
  });

  test('hands over chunks that are larger than the records of TLS', async () => {
    await using it = await secureTier(good, { bufferBytes: 256 * 1024 });
    const sizes: number[] = [];
    for await (const { bytes, release } of await it.open()) {
      sizes.push(bytes.length);
      release();
    }
    expect(Math.max(...sizes)).toBeGreaterThan(32 * 1024);
  });

  test('hands over what has come without waiting for more', async () => {
    const more = Promise.withResolvers<void>();
    await using it = await secureTier(async (socket) => {
      socket.write(`${headOf(10)}hello`);
      await more.promise;
      socket.end('world');
    });
    const iterator = (await it.open({ range: { start: 0, end: 10 } }))[Symbol.asyncIterator]();
    const first = await iterator.next();
    expect(first.done === true ? '' : Buffer.from(first.value.bytes).toString()).toBe('hello');
    more.resolve();
    const second = await iterator.next();
    expect(second.done === true ? '' : Buffer.from(second.value.bytes).toString()).toBe('world');
    await iterator.return?.();
  });

  test('reads little ahead of a slow consumer, and does not take it for silence', async () => {
    await using it = await secureTier(good);
    const pieces: Buffer[] = [];
    const spare: number[] = [];
    for await (const chunk of await it.open({ silenceMs: 100 })) {
      if (pieces.length < 3) {
        await sleep(200);
        const free = drain(it.pool);
        spare.push(free.length);
        for (const { release } of free) release();
      }
      pieces.push(Buffer.from(chunk.bytes));
      chunk.release();
    }
    // Three chunks and the buffer of the next read are all that it has.
    expect(Math.min(...spare)).toBeGreaterThanOrEqual(BUFFERS - 4);
    expect(Buffer.concat(pieces).equals(BYTES)).toBe(true);
  });

  test('never writes into a chunk that its consumer still has, while the pool runs dry and fills again', async () => {
    await using it = await secureTier(good, { bufferBytes: 20_000 });
    let taken: PooledBuffer[] = [];
    const held: Chunk[] = [];
    const pieces: Buffer[] = [];
    let count = 0;
    const letGo = (chunk: Chunk): void => {
      pieces.push(Buffer.from(chunk.bytes)); // what is in it now is what must have been in it all the time
      chunk.release();
    };
    for await (const chunk of await it.open()) {
      held.push(chunk);
      count += 1;
      if (count % 5 === 1) taken.push(...drain(it.pool));
      if (count % 5 === 3) for (const { release } of taken.splice(0)) release();
      if (count % 7 === 0) await sleep(1);
      for (const done of held.splice(0, count % 3 === 0 ? held.length : Math.min(1, held.length))) letGo(done);
    }
    for (const each of held) letGo(each);
    for (const { release } of taken) release();
    expect(Buffer.concat(pieces).equals(BYTES)).toBe(true);
    taken = drain(it.pool);
    expect(taken).toHaveLength(BUFFERS);
  });

  test('gives every byte that came before an early end', async () => {
    await using it = await secureTier((socket) => {
      socket.write(headOf(BYTES.length));
      socket.end(BYTES.subarray(0, 500_000));
    });
    let bytes = 0;
    const reading = (async () => {
      for await (const chunk of await it.open()) {
        await sleep(5);
        bytes += chunk.bytes.length;
        chunk.release();
      }
    })();
    expect(await codeOf(reading)).toBe('UNAVAILABLE');
    expect(bytes).toBe(500_000);
    expect(drain(it.pool)).toHaveLength(BUFFERS);
  });

  test('is ended by its signal, and gives all buffers back', async () => {
    await using it = await secureTier((socket) => void socket.write(`${headOf(BYTES.length)}begin`));
    const over = new AbortController();
    const chunks = await it.open({ signal: over.signal });
    const reading = collect(chunks);
    over.abort(new OciError('UNAVAILABLE', 'the client hung up'));
    await expect(reading).rejects.toThrow('the client hung up');
    expect(drain(it.pool)).toHaveLength(BUFFERS);
    await expect.poll(() => it.server.connections).toBe(0);
  });

  test('gives up a server that does not shake hands', async () => {
    await using silent = await scripted(() => undefined);
    await using tls = await testMaterial({ ca: ca.pem });
    const url = new URL(silent.url.href.replace('http:', 'https:'));
    const { material } = tls;
    const connect = connectSecure({ material, serviceName: 'tier.test' });
    const options = { pool: new BufferPool(), signal: new AbortController().signal, connect, headMs: 50 };
    expect(await codeOf(openTierRead(url, { start: 0, end: 5 }, options))).toBe('UNAVAILABLE');
  });
});
