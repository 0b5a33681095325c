import { expect, test } from 'vitest';
import { BufferPool } from '../../../content/buffer-pool.ts';
import { OciError } from '../../../oci/error.ts';
import { Bucket } from '../../../shared-tier/store/bucket.ts';
import { readObject } from '../../../shared-tier/store/read-object.ts';
import { MIB, sample } from '../../content/fixtures.ts';
import { s3Server } from '../../support/s3-server.ts';

const { bytes: BYTES } = sample(MIB);

async function objectOf(pool = new BufferPool()) {
  const server = await s3Server();
  const bucket = new Bucket(server.config(''));
  server.bucket.put('key', BYTES);
  const failures: OciError[] = [];
  return {
    server,
    failures,
    pool,
    read: (start = 0, end = BYTES.length, signal = new AbortController().signal) =>
      readObject(
        { start, end },
        {
          bucket,
          key: 'key',
          sizeBytes: BYTES.length,
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
  expect(Buffer.concat(pieces).equals(BYTES.subarray(100))).toBe(true);
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
  expect(Buffer.concat(pieces).equals(BYTES)).toBe(true);
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
