import { getEventListeners } from 'node:events';
import { describe, expect, test } from 'vitest';
import { BufferPool } from '../../content/buffer-pool.ts';
import { StreamBuffers } from '../../content/stream-buffers.ts';

const forever = new AbortController().signal;

describe('StreamBuffers', () => {
  test('lends the buffers of the pool while there are some, then one small one', () => {
    const buffers = new StreamBuffers(new BufferPool({ bufferBytes: 50_000, totalBytes: 100_000 }));
    const lengths = [1, 2, 3, 4].map(() => buffers.tryAcquire()?.bytes.length);
    expect(lengths).toEqual([50_000, 50_000, 16 * 1024, undefined]);
  });

  test('gives each stream a buffer though others keep all of the pool', async () => {
    const pool = drained();
    const streams = Array.from({ length: 100 }, () => new StreamBuffers(pool));
    const lent = await Promise.all(streams.map((stream) => stream.acquire(forever)));
    expect(new Set(lent.map(({ bytes }) => bytes.buffer)).size).toBe(100);
  });

  test('waits for its consumer, and for nobody else', async () => {
    const buffers = new StreamBuffers(drained());
    const { signal } = new AbortController();
    const own = await buffers.acquire(signal);
    const next = buffers.acquire(signal);
    own.release();
    expect((await next).bytes.buffer).toBe(own.bytes.buffer);
    expect(getEventListeners(signal, 'abort')).toEqual([]);
  });

  test('goes back to the pool when that has buffers again', async () => {
    const pool = new BufferPool({ bufferBytes: 50_000, totalBytes: 100_000 });
    const pooled = [pool.tryAcquire(), pool.tryAcquire()];
    const buffers = new StreamBuffers(pool);
    const own = await buffers.acquire(forever);
    for (const buffer of pooled) buffer?.release();
    expect([own.bytes.length, (await buffers.acquire(forever)).bytes.length]).toEqual([16 * 1024, 50_000]);
  });

  test('ends a wait with the reason of its signal, and can wait again', async () => {
    const buffers = new StreamBuffers(drained());
    const own = await buffers.acquire(forever);
    const [client, reason] = [new AbortController(), new Error('the client has gone')];
    const waiting = buffers.acquire(client.signal);
    client.abort(reason);
    await expect(waiting).rejects.toBe(reason);
    await expect(buffers.acquire(client.signal)).rejects.toBe(reason);
    const again = buffers.acquire(forever);
    own.release();
    expect((await again).bytes.buffer).toBe(own.bytes.buffer);
  });

  test('is not harmed by its own buffer given back twice', async () => {
    const buffers = new StreamBuffers(drained());
    const own = await buffers.acquire(forever);
    own.release();
    const again = await buffers.acquire(forever);
    own.release();
    expect([again.bytes.length, buffers.tryAcquire()]).toEqual([16 * 1024, undefined]);
  });

  test('serves everybody who waits, in their order', async () => {
    const buffers = new StreamBuffers(drained());
    const own = await buffers.acquire(forever);
    const order: number[] = [];
    const waiting = [1, 2, 3].map(async (who) => {
      const buffer = await buffers.acquire(forever);
      order.push(who);
      buffer.release();
    });
    own.release();
    await Promise.all(waiting);
    expect(order).toEqual([1, 2, 3]);
  });
});

function drained(): BufferPool {
  const pool = new BufferPool({ bufferBytes: 10, totalBytes: 20 });
  while (pool.tryAcquire());
  return pool;
}
