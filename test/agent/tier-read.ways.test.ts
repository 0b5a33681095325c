import { setTimeout as sleep } from 'node:timers/promises';
import { describe, expect, test } from 'vitest';
import type { PooledBuffer } from '../../content/buffer-pool.ts';
import type { Chunk } from '../../content/chunk.ts';
import { OciError } from '../../oci/error.ts';
import { TestCa } from '../support/certificates.ts';
import { BUFFERS, LARGE, drain, goodLarge, tierThat } from './fixtures.ts';

// What holds however the tier is connected to: bytes come from the socket as they are, or out of the records of TLS.
describe.each([
  ['TCP', undefined],
  ['TLS', new TestCa()],
])('openTierRead over %s', (_name, ca) => {
  test('does not take a slow consumer for silence, however long it takes, and reads little ahead of it', async () => {
    await using it = await tierThat(goodLarge, { ca, bufferBytes: 64 * 1024 });
    const pieces: Buffer[] = [];
    const spare: number[] = [];
    for await (const chunk of await it.open({ range: LARGE, silenceMs: 100 })) {
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
    expect(Buffer.concat(pieces).equals(LARGE.bytes)).toBe(true);
  });

  test('never writes into a chunk that its consumer still has, while the pool runs dry and fills again', async () => {
    await using it = await tierThat(goodLarge, { ca, bufferBytes: 20_000 });
    let taken: PooledBuffer[] = [];
    const held: Chunk[] = [];
    const pieces: Buffer[] = [];
    let count = 0;
    const letGo = (chunk: Chunk): void => {
      pieces.push(Buffer.from(chunk.bytes)); // what is in it now is what must have been in it all the time
      chunk.release();
      chunk.release(); // twice is once
    };
    for await (const chunk of await it.open({ range: LARGE })) {
      held.push(chunk);
      count += 1;
      if (count % 5 === 1) taken.push(...drain(it.pool));
      if (count % 5 === 3) for (const { release } of taken.splice(0)) release();
      if (count % 7 === 0) await sleep(1);
      for (const done of held.splice(0, count % 3 === 0 ? held.length : Math.min(1, held.length))) letGo(done);
    }
    for (const each of held) letGo(each);
    for (const { release } of taken) release();
    expect(Buffer.concat(pieces).equals(LARGE.bytes)).toBe(true);
    taken = drain(it.pool);
    expect(taken).toHaveLength(BUFFERS);
  });

  test('is ended by its signal before, and after, the head', async () => {
    await using it = await tierThat(
      (socket, request) => {
        if (it.server.requests.length > 1) goodLarge(socket, request);
      },
      { ca },
    );
    const early = new AbortController();
    const opening = it.open({ range: LARGE, signal: early.signal });
    await expect.poll(() => it.server.requests.length).toBe(1);
    early.abort(new OciError('UNAVAILABLE', 'the client hung up'));
    await expect(opening).rejects.toThrow('the client hung up');

    const late = new AbortController();
    const chunks = await it.open({ range: LARGE, signal: late.signal });
    const iterator = chunks[Symbol.asyncIterator]();
    const first = await iterator.next();
    late.abort(new OciError('UNAVAILABLE', 'the client hung up'));
    if (!first.done) first.value.release();
    const rest = (async () => {
      for (let next = await iterator.next(); !next.done; next = await iterator.next()) next.value.release();
    })();
    await expect(rest).rejects.toThrow('the client hung up');
    expect(drain(it.pool)).toHaveLength(BUFFERS);
    await expect.poll(() => it.server.connections).toBe(0);
  });
});
