import { open, rename, stat, truncate, utimes, writeFile } from 'node:fs/promises';
import { describe, expect, test } from 'vitest';
import type { DiskStore } from '../../content/disk-store.ts';
import { Hasher, type HashJob } from '../../content/hasher.ts';
import { takeClock } from '../support/house-clock.ts';
import { type DiskFixture, MIB, SOON, diskStore, filesIn, read, sample, startReading } from './fixtures.ts';

const { bytes: BYTES, digest: DIGEST } = sample(3 * MIB);
const DAY_MS = 24 * 60 * 60_000;

/** A hasher that counts what it is asked to hash. */
class CountingHasher extends Hasher {
  count = 0;
  override start(...parameters: Parameters<Hasher['start']>): HashJob {
    this.count += 1;
    return super.start(...parameters);
  }
}

/** A store with content; `again` is the same one in the next process. */
async function stored() {
  const stack = new AsyncDisposableStack();
  const hasher = stack.use(new CountingHasher(1));
  const fixture: DiskFixture = stack.use(await diskStore({ hasher }));
  await fixture.store.put(DIGEST, BYTES);
  hasher.count = 0;
  const path = fixture.store.layout.blob(DIGEST);
  return {
    ...fixture,
    hasher,
    path,
    again: () => fixture.reopen(),
    [Symbol.asyncDispose]: () => stack[Symbol.asyncDispose](),
  };
}

/** As a disk does it, or another program: the file's size and time of modification stay as they were. */
async function flipByte(path: string, at: number): Promise<void> {
  const { atime, mtime } = await stat(path);
  await using file = await open(path, 'r+');
  const byte = Buffer.alloc(1);
  await file.read(byte, 0, 1, at);
  byte[0] = 0xff ^ (byte[0] ?? 0);
  await file.write(byte, 0, 1, at);
  await utimes(path, atime, mtime);
}

async function expectNeverWhole(store: DiskStore, start = 0): Promise<void> {
  await using content = await store.open(DIGEST);
  if (!content) throw new Error('it is not known to be damaged before it is read');
  const reading = startReading(content, { range: { start, end: content.sizeBytes } });
  await expect(reading.result).rejects.toMatchObject({ code: 'CORRUPT' });
  expect(reading.receivedBytes).toBeLessThan(content.sizeBytes - start);
}

describe('content with a wrong byte on the disk', () => {
  test.each([
    ['from its beginning', 0],
    ['at its end only', BYTES.length - 10],
  ])('is never read whole after a restart, %s, and then fetched anew', async (_name, start) => {
    await using it = await stored();
    await flipByte(it.path, MIB);
    const store = await it.again();
    await expectNeverWhole(store, start);
    expect([it.evicted, await store.open(DIGEST), store.usage.bytes]).toEqual([[[DIGEST, 'damaged']], undefined, 0]);
    await store.put(DIGEST, BYTES);
    await using content = await store.open(DIGEST);
    expect((await read(content)).equals(BYTES)).toBe(true);
    await expect.poll(() => filesIn(it.directory), SOON).toHaveLength(1);
  });

  test('is found by who reads it next, however often it was read before', async () => {
    await using it = await stored();
    {
      await using content = await it.store.open(DIGEST);
      expect((await read(content)).equals(BYTES)).toBe(true);
    }
    await flipByte(it.path, BYTES.length - 1);
    await expectNeverWhole(it.store);
    expect(await it.store.open(DIGEST)).toBeUndefined();
  });

  test('that was replaced by another file of the same size is found as well', async () => {
    await using it = await stored();
    await writeFile(`${it.path}.new`, sample(3 * MIB, 1).bytes);
    await rename(`${it.path}.new`, it.path);
    await expectNeverWhole(it.store);
    expect(it.evicted).toEqual([[DIGEST, 'damaged']]);
  });

  test.each([
    ['shorter', 2 * MIB],
    ['one byte long', 1],
  ])('that has become %s while nobody looked is never read whole', async (_name, sizeBytes) => {
    await using it = await stored();
    await truncate(it.path, sizeBytes);
    await expectNeverWhole(await it.again());
    expect(it.evicted).toEqual([[DIGEST, 'damaged']]);
  });

  test('that has become empty while nobody looked is a miss', async () => {
    await using it = await stored();
    await truncate(it.path, 0);
    expect(await (await it.again()).open(DIGEST)).toBeUndefined();
    expect(it.evicted).toEqual([[DIGEST, 'damaged']]);
  });

  test('cut while it is read is gone for the next one', async () => {
    await using it = await stored();
    {
      await using content = await it.store.open(DIGEST);
      await truncate(it.path, MIB);
      await expect(read(content)).rejects.toMatchObject({ code: 'CORRUPT' });
    }
    expect(await it.store.stat(DIGEST)).toBeUndefined();
  });
});

describe('right content is hashed', () => {
  test('never again in the process that took it in', async () => {
    await using it = await stored();
    for (let round = 0; round < 3; round += 1) {
      await using content = await it.store.open(DIGEST);
      expect((await read(content)).equals(BYTES)).toBe(true);
    }
    expect(it.hasher.count).toBe(0);
  });

  test('once after a restart, for all who read it at that time and later', async () => {
    await using it = await stored();
    const store = await it.again();
    for (let round = 0; round < 2; round += 1) {
      const all = await Promise.all(
        Array.from({ length: 8 }, async () => {
          await using content = await store.open(DIGEST);
          return (await read(content)).equals(BYTES);
        }),
      );
      expect(new Set(all)).toEqual(new Set([true]));
    }
    expect(it.hasher.count).toBe(1);
  });

  test('once more a day later, and not because its last use was written down', async () => {
    using clock = takeClock();
    await using it = await stored();
    const readings: number[] = [];
    for (const forward of [120_000, 120_000, DAY_MS, 120_000]) {
      await clock.forward(forward);
      await using content = await it.store.open(DIGEST);
      expect((await read(content)).equals(BYTES)).toBe(true);
      readings.push(it.hasher.count);
    }
    expect(readings).toEqual([0, 0, 1, 1]);
  });

  test('to its end though the reader for whom it began has hung up', async () => {
    await using it = await stored();
    const store = await it.again();
    const client = new AbortController();
    const content = await store.open(DIGEST);
    const reading = read(content, { signal: client.signal });
    client.abort();
    await reading.catch(() => undefined);
    await content?.[Symbol.asyncDispose]();
    await using next = await store.open(DIGEST);
    expect((await read(next)).equals(BYTES)).toBe(true);
    expect(it.hasher.count).toBeLessThanOrEqual(1);
  });
});
