import { describe, expect, test } from 'vitest';
import { BufferPool } from '../../../content/buffer-pool.ts';
import type { Chunks } from '../../../content/chunk.ts';
import { OciError } from '../../../oci/error.ts';
import { Bucket } from '../../../shared-tier/store/bucket.ts';
import { readObject } from '../../../shared-tier/store/read-object.ts';
import { MIB, sample } from '../../content/fixtures.ts';
import { s3Server } from '../../support/s3-server.ts';

const { bytes: SMALL } = sample(MIB);
/** So much that it is read straight from a socket. */
const { bytes: LARGE } = sample(5 * MIB + 3, 2);

async function objectOf(pool = new BufferPool(), bytes = SMALL) {
  const server = await s3Server();
  const bucket = new Bucket(server.config(''));
  server.bucket.put('key', bytes);
  const failures: OciError[] = [];
  return {
    server,
    failures,
    pool,
    read: (start = 0, end = bytes.length, signal = new AbortController().signal) =>
      readObject(
        { start, end },
        {
          bucket,
          key: 'key',
          sizeBytes: bytes.length,
          pool,
          signal,
          gone: async () => new OciError('UNAVAILABLE', 'gone'),
          failed: (error) => void failures.push(error),
        },
      ),
    [Symbol.asyncDispose]: async () => {
      bucket[Symbol.dispose]();
      await server[Symbol.asyncDispose]();
    },
  };
}

/** How many buffers a pool has to give. */
function free(pool: BufferPool): number {
  const taken = [];
  for (let buffer = pool.tryAcquire(); buffer; buffer = pool.tryAcquire()) taken.push(buffer);
  for (const { release } of taken) release();
  return taken.length;
}

test('gives the bytes in whole buffers of the pool, and the rest in the last one', async () => {
  await using it = await objectOf();
  const sizes: number[] = [];
  const pieces: Buffer[] = [];
  for await (const { bytes, release } of it.read(100)) {
    sizes.push(bytes.length);
    pieces.push(Buffer.from(bytes));
    release();
  }
  expect(sizes).toEqual([MIB / 4, MIB / 4, MIB / 4, MIB / 4 - 100]);
  expect(Buffer.concat(pieces).equals(SMALL.subarray(100))).toBe(true);
});

test('goes on with small buffers of its own when the pool has none', async () => {
  const pool = new BufferPool({ totalBytes: 2 * 256 * 1024 });
  await using it = await objectOf(pool);
  const lent = [pool.tryAcquire(), pool.tryAcquire()];
  const pieces: Buffer[] = [];
  for await (const { bytes, release } of it.read()) {
    pieces.push(Buffer.from(bytes));
    release();
  }
  expect(Buffer.concat(pieces).equals(SMALL)).toBe(true);
  expect(lent).toHaveLength(2);
});

test('keeps no buffer, whether it ends by itself, by its reader or by a failure', async () => {
  await using it = await objectOf();
  const all = free(it.pool);
  for await (const { release } of it.read()) release();
  for await (const { release } of it.read()) {
    release();
    break;
  }
  it.server.moods.push({ times: 1, cutAfter: 100_000 }, { error: [503, 'SlowDown'] });
  const failing = async (): Promise<void> => {
    for await (const { release } of it.read()) release();
  };
  await expect(failing()).rejects.toMatchObject({ code: 'UNAVAILABLE' });
  expect([free(it.pool), it.failures.length]).toEqual([all, 1]);
});

async function collected(chunks: Chunks): Promise<Buffer> {
  const pieces: Buffer[] = [];
  for await (const { bytes, release } of chunks) {
    pieces.push(Buffer.from(bytes));
    release();
  }
  return Buffer.concat(pieces);
}

describe('many bytes', () => {
  test('cost the bucket one request, whatever part of them is read', async () => {
    await using it = await objectOf(new BufferPool(), LARGE);
    expect((await collected(it.read())).equals(LARGE)).toBe(true);
    expect((await collected(it.read(7, 4 * MIB))).equals(LARGE.subarray(7, 4 * MIB))).toBe(true);
    expect(it.server.requests.map(({ method }) => method)).toEqual(['GET', 'GET']);
  });

  test('are gone on with where a connection broke', async () => {
    await using it = await objectOf(new BufferPool(), LARGE);
    it.server.moods.push({ times: 1, cutAfter: 2 * MIB }, { times: 1, cutAfter: MIB });
    expect((await collected(it.read())).equals(LARGE)).toBe(true);
    expect([it.server.requests.length, it.failures]).toEqual([3, []]);
  });

  test('keep no buffer and no connection when their reader goes, or nothing comes', async () => {
    await using it = await objectOf(new BufferPool(), LARGE);
    const all = free(it.pool);
    for await (const { release } of it.read()) {
      release();
      break;
    }
    const gone = AbortSignal.abort(new OciError('UNAVAILABLE', 'gone'));
    await expect(collected(it.read(0, LARGE.length, gone))).rejects.toThrow('gone');
    it.server.moods.push({ error: [503, 'SlowDown'] });
    await expect(collected(it.read())).rejects.toMatchObject({ code: 'UNAVAILABLE' });
    expect([free(it.pool), it.failures.length]).toEqual([all, 1]);
  });

  test('that are not there, or are others, are said to be gone', async () => {
    await using it = await objectOf(new BufferPool(), LARGE);
    it.server.bucket.put('key', Buffer.concat([LARGE, LARGE]));
    await expect(collected(it.read())).rejects.toThrow('gone');
    it.server.bucket.objects.clear();
    await expect(collected(it.read())).rejects.toThrow('gone');
  });

  test('wait in the socket for a reader that takes its time', async () => {
    await using it = await objectOf(new BufferPool(), LARGE);
    const reading = it.read()[Symbol.asyncIterator]();
    const first = await reading.next();
    const taken = free(it.pool);
    expect(taken).toBeGreaterThan(24 * 4 - 5); // a few buffers of the pool's, not the whole object
    if (!first.done) first.value.release();
    await reading.return?.();
  });
});
