import { mkdir, statfs, truncate, utimes, writeFile } from 'node:fs/promises';
import { dirname } from 'node:path';
import * as fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import type { DiskStore } from '../../content/disk-store.ts';
import type { Digest } from '../../oci/digest.ts';
import { OciError } from '../../oci/error.ts';
import { type DiskFixture, diskStore, filesIn, read, sample, SOON } from './fixtures.ts';

const KB = 1_000;
const [A, B, C, D] = [0, 1, 2, 3].map((seed) => sample(100 * KB, seed)) as [Sample, Sample, Sample, Sample];
type Sample = ReturnType<typeof sample>;

describe('when a disk store is full, it', () => {
  test('evicts what was used least recently, counting opens and not looks', async () => {
    await using fixture = await full();
    const { store, evicted } = fixture;
    await (await store.open(A.digest))?.[Symbol.asyncDispose]();
    await store.stat(B.digest);
    await Array.fromAsync(store.list());
    await store.put(D.digest, D.bytes);
    await store.put(B.digest, B.bytes);
    expect(evicted).toEqual([
      [B.digest, 'size'],
      [C.digest, 'size'],
    ]);
    expect(await store.stat(A.digest)).toBeDefined();
  });

  test('removes what it evicts from the disk', async () => {
    await using fixture = await full();
    await fixture.store.put(D.digest, D.bytes);
    await expect.poll(() => filesIn(fixture.directory), SOON).toHaveLength(3);
    expect(fixture.store.usage).toEqual({ blobs: 3, bytes: 300 * KB, capacityBytes: 300 * KB });
  });

  test('spares what is open, also by a follower from the time of its arrival', async () => {
    await using fixture = await diskStore({ capacityBytes: 300 * KB });
    const { store, evicted } = fixture;
    await using ingest = await store.ingest(A.digest, A.bytes.length);
    await using follower = ingest.follow();
    await ingest.write(0, [A.bytes]);
    await ingest.commit();
    await store.put(B.digest, B.bytes);
    await using content = await store.open(B.digest);
    await store.put(C.digest, C.bytes);
    await store.put(D.digest, D.bytes);
    expect(evicted).toEqual([[C.digest, 'size']]);
    expect((await read(follower)).equals(A.bytes)).toBe(true);
    expect((await read(content)).equals(B.bytes)).toBe(true);
  });

  test('may evict again what was closed', async () => {
    await using fixture = await full();
    const { store, evicted } = fixture;
    const contents = await Promise.all([A, B, C].map(({ digest }) => store.open(digest)));
    await expect(store.put(D.digest, D.bytes)).rejects.toMatchObject({ code: 'UNAVAILABLE' });
    for (const content of contents) await content?.[Symbol.asyncDispose]();
    await store.put(D.digest, D.bytes);
    expect(evicted).toHaveLength(1);
  });

  test('evicts nothing for what is too large anyway', async () => {
    await using fixture = await full();
    const { store, evicted } = fixture;
    await expect(store.ingest(D.digest, 300 * KB + 1)).rejects.toMatchObject({ code: 'UNAVAILABLE' });
    expect([evicted, store.usage.bytes]).toEqual([[], 300 * KB]);
  });

  test('evicts nothing when all that may go would not be enough', async () => {
    await using fixture = await full();
    const { store, evicted } = fixture;
    await using content = await store.open(A.digest);
    await expect(store.ingest(D.digest, 201 * KB)).rejects.toMatchObject({ code: 'UNAVAILABLE' });
    expect([evicted, store.usage.bytes, content?.digest]).toEqual([[], 300 * KB, A.digest]);
  });

  test('counts what is on its way in, and gives it back when that ends', async () => {
    await using fixture = await diskStore({ capacityBytes: 300 * KB });
    const { store, evicted } = fixture;
    const ingest = await store.ingest(A.digest, 250 * KB);
    expect(store.usage.bytes).toBe(250 * KB);
    await expect(store.put(B.digest, B.bytes)).rejects.toMatchObject({ code: 'UNAVAILABLE' });
    await ingest.write(0, [A.bytes]);
    await ingest[Symbol.asyncDispose]();
    expect(store.usage.bytes).toBe(0);
    await store.put(B.digest, B.bytes);
    expect([evicted, store.usage.bytes]).toEqual([[], 100 * KB]);
  });

  test('gives the room of a failed ingest back when its last reader has gone', async () => {
    await using fixture = await diskStore({ capacityBytes: 300 * KB });
    const { store } = fixture;
    const ingest = await store.ingest(A.digest, 250 * KB);
    const follower = ingest.follow();
    await ingest[Symbol.asyncDispose]();
    await follower[Symbol.asyncDispose]();
    await follower[Symbol.asyncDispose]();
    expect(store.usage.bytes).toBe(0);
    await expect.poll(() => filesIn(fixture.directory), SOON).toEqual([]);
  });

  test('counts content once that two ingests brought', async () => {
    await using fixture = await diskStore({ capacityBytes: 300 * KB });
    const { store } = fixture;
    const ingests = [await store.ingest(A.digest, 100 * KB), await store.ingest(A.digest, 100 * KB)];
    await Promise.all(ingests.map((ingest) => ingest.write(0, [A.bytes])));
    await Promise.all(ingests.map((ingest) => ingest.commit()));
    await Promise.all(ingests.map((ingest) => ingest[Symbol.asyncDispose]()));
    expect(store.usage).toMatchObject({ blobs: 1, bytes: 100 * KB });
    await expect.poll(() => filesIn(fixture.directory), SOON).toHaveLength(1);
  });

  test('never exceeds its capacity, whoever comes at once', async () => {
    await using fixture = await diskStore({ capacityBytes: 300 * KB });
    const { store } = fixture;
    const peaks: number[] = [];
    const puts = Array.from({ length: 20 }, async (_, seed) => {
      const { bytes, digest } = sample(70 * KB, seed);
      const refused = await store.put(digest, bytes).catch((error: unknown) => OciError.from(error).code);
      peaks.push(store.usage.bytes);
      return refused;
    });
    expect(new Set(await Promise.all(puts))).toEqual(new Set([undefined, 'UNAVAILABLE']));
    expect(Math.max(...peaks)).toBeLessThanOrEqual(300 * KB);
    expect(store.usage).toMatchObject({ blobs: 4, bytes: 280 * KB });
  });

  test('does what a list in order of use does', async () => {
    const samples = Array.from({ length: 8 }, (_, seed) => sample((seed + 1) * 10, seed));
    const step = fc.record({ act: fc.constantFrom('put', 'put', 'open', 'delete'), which: fc.nat(7) });
    await fc.assert(
      fc.asyncProperty(fc.array(step, { maxLength: 25 }), async (steps) => {
        await using fixture = await diskStore({ capacityBytes: 150 });
        let model: { digest: Digest; size: number }[] = [];
        for (const { act, which } of steps) {
          const { bytes, digest } = samples[which] ?? A;
          await perform(fixture.store, act, bytes, digest);
          model = expected(model, act, digest, bytes.length);
          expect(await listed(fixture.store)).toEqual(model.map((each) => each.digest).toSorted());
          expect(fixture.store.usage.bytes).toBe(model.reduce((sum, { size }) => sum + size, 0));
        }
      }),
      { numRuns: 25 },
    );
  });
});

// The file system of a test is somebody else's, too: all amounts here are large parts of what is free in it.
describe('to leave a part of the file system free, a disk store', () => {
  test('takes in nothing that would use that part', async () => {
    await using fixture = await diskStore({ capacityBytes: Number.MAX_SAFE_INTEGER });
    const { freeBytes, minFree } = await halfOfTheFree(fixture.directory);
    const store = await fixture.reopen({ minFree });
    await expect(store.ingest(A.digest, Math.floor(freeBytes * 0.7))).rejects.toMatchObject({ code: 'UNAVAILABLE' });
    await using first = await store.ingest(A.digest, Math.floor(freeBytes * 0.3));
    await expect(store.ingest(B.digest, Math.floor(freeBytes * 0.3))).rejects.toMatchObject({ code: 'UNAVAILABLE' });
    await first[Symbol.asyncDispose]();
    expect(store.usage.bytes).toBe(0);
    await using second = await store.ingest(B.digest, Math.floor(freeBytes * 0.3));
    expect(second.sizeBytes).toBe(Math.floor(freeBytes * 0.3));
  });

  test('evicts as much as is lacking', async () => {
    await using fixture = await diskStore({ capacityBytes: Number.MAX_SAFE_INTEGER });
    const { freeBytes, minFree } = await halfOfTheFree(fixture.directory);
    const holes = Math.min(Math.floor(freeBytes * 0.3), 2 ** 40);
    for (const [at, { digest }] of [A, B].entries()) await placeHole(fixture.store, digest, holes, at);
    const store = await fixture.reopen({ minFree });
    await using ingest = await store.ingest(C.digest, Math.floor(freeBytes * 0.5 + holes * 0.5));
    expect([ingest.digest, fixture.evicted]).toEqual([C.digest, [[A.digest, 'free-space']]]);
  });

  test('gives way to other programs while nothing is taken in, but for what is being read', async () => {
    await using fixture = await full();
    // As if others had filled the file system since.
    const store = await fixture.reopen({ minFree: 1 });
    await using content = await store.open(B.digest);
    await store.keepFree();
    expect(fixture.evicted.map(([, reason]) => reason)).toEqual(['free-space', 'free-space']);
    expect(await listed(store)).toEqual([B.digest]);
    expect((await read(content)).equals(B.bytes)).toBe(true);
  });

  test('evicts nothing while there is enough', async () => {
    await using fixture = await full();
    await fixture.store.keepFree();
    expect([fixture.evicted, fixture.store.usage.blobs]).toEqual([[], 3]);
  });

  test('takes nothing in when all of it is to stay free', async () => {
    await using fixture = await diskStore({ minFree: 1 });
    await expect(fixture.store.put(A.digest, A.bytes)).rejects.toMatchObject({ code: 'UNAVAILABLE' });
    expect(fixture.store.usage.bytes).toBe(0);
  });
});

async function full(): Promise<DiskFixture> {
  const fixture = await diskStore({ capacityBytes: 300 * KB });
  for (const { bytes, digest } of [A, B, C]) await fixture.store.put(digest, bytes);
  return fixture;
}

async function perform(store: DiskStore, act: string, bytes: Buffer, digest: Digest): Promise<void> {
  if (act === 'put') await store.put(digest, bytes);
  if (act === 'open') await (await store.open(digest))?.[Symbol.asyncDispose]();
  if (act === 'delete') await store.delete(digest);
}

/** The model: least recently used first. */
function expected(
  model: readonly { digest: Digest; size: number }[],
  act: string,
  digest: Digest,
  size: number,
): { digest: Digest; size: number }[] {
  const others = model.filter((each) => each.digest !== digest);
  if (act === 'delete') return others;
  if (others.length < model.length) return act === 'open' ? [...others, { digest, size }] : [...model];
  if (act === 'open') return [...model];
  const next = [...model, { digest, size }];
  while (next.reduce((sum, each) => sum + each.size, 0) > 150) next.shift();
  return next;
}

async function listed(store: DiskStore): Promise<Digest[]> {
  return (await Array.fromAsync(store.list())).map(({ digest }) => digest).toSorted();
}

async function halfOfTheFree(directory: string): Promise<{ freeBytes: number; minFree: number }> {
  const { bavail, blocks, bsize } = await statfs(directory);
  return { freeBytes: bavail * bsize, minFree: bavail / blocks / 2 };
}

/** Content of a size that is on the disk by name only. */
async function placeHole(store: DiskStore, digest: Digest, sizeBytes: number, usedAt: number): Promise<void> {
  const path = store.layout.blob(digest);
  await mkdir(dirname(path), { recursive: true });
  await writeFile(path, '');
  await truncate(path, sizeBytes);
  await utimes(path, 1_000 + usedAt, 1_000 + usedAt);
}
