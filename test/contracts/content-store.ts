import * as fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import type { Spools } from '../../content/spool.ts';
import type { ContentStore } from '../../content/store.ts';
import type { Digest } from '../../oci/digest.ts';
import { MIB, read, sample } from '../content/fixtures.ts';
import { ingestContract } from './content-ingest.ts';
import { spoolContract } from './content-spool.ts';

/** Makes an empty store with room for at least 64 MiB; disposing it removes what it keeps. */
export type MakeStore = () => Promise<{ readonly store: ContentStore & Spools } & AsyncDisposable>;

/** What every content store does, whatever it keeps its bytes in. */
export function contentStoreContract(name: string, make: MakeStore): void {
  describe(`${name} as a content store`, () => {
    committedContract(make);
    ingestContract(make);
    spoolContract(make);
  });
}

function committedContract(make: MakeStore): void {
  test('refuses to take no bytes in under a digest of some', async () => {
    await using fixture = await make();
    const refused = fixture.store.ingest(sample(1).digest, 0);
    await expect(refused).rejects.toMatchObject({ code: 'CORRUPT' });
    await using ingest = await fixture.store.ingest(sample(0).digest, 0);
    await expect(ingest.commit()).resolves.toBeUndefined();
  });

  test('has what was put into it', async () => {
    await using fixture = await make();
    const { store } = fixture;
    const { bytes, digest } = sample(1_000_000);
    await store.put(digest, bytes);
    expect(await store.stat(digest)).toEqual({ sizeBytes: 1_000_000 });
    await using content = await store.open(digest);
    expect(content).toMatchObject({ digest, sizeBytes: 1_000_000 });
    expect((await read(content)).equals(bytes)).toBe(true);
    expect(await listed(store)).toEqual([{ digest, sizeBytes: 1_000_000 }]);
  });

  test('does not have what nobody put into it', async () => {
    await using fixture = await make();
    const { store } = fixture;
    const { digest } = sample(10);
    expect([await store.stat(digest), await store.open(digest), await listed(store)]).toEqual([
      undefined,
      undefined,
      [],
    ]);
  });

  test('refuses bytes that do not have the digest, and keeps none of them', async () => {
    await using fixture = await make();
    const { store } = fixture;
    const { digest } = sample(10, 1);
    await expect(store.put(digest, sample(10, 2).bytes)).rejects.toMatchObject({ code: 'CORRUPT' });
    expect([await store.stat(digest), await listed(store)]).toEqual([undefined, []]);
  });

  test('has content once, however often it was put', async () => {
    await using fixture = await make();
    const { store } = fixture;
    const { bytes, digest } = sample(100_000);
    await Promise.all(Array.from({ length: 8 }, () => store.put(digest, bytes)));
    await store.put(digest, bytes);
    expect(await listed(store)).toEqual([{ digest, sizeBytes: 100_000 }]);
    await using content = await store.open(digest);
    expect((await read(content)).equals(bytes)).toBe(true);
  });

  test('tells sha256 and sha512 of the same bytes apart', async () => {
    await using fixture = await make();
    const { store } = fixture;
    const { bytes, digest } = sample(1_000, 0, 'sha512');
    await store.put(digest, bytes);
    expect(await store.stat(sample(1_000).digest)).toBeUndefined();
    await using content = await store.open(digest);
    expect((await read(content)).equals(bytes)).toBe(true);
  });

  test('has content without any bytes', async () => {
    await using fixture = await make();
    const { store } = fixture;
    const { bytes, digest } = sample(0);
    await store.put(digest, bytes);
    expect(await store.stat(digest)).toEqual({ sizeBytes: 0 });
    await using content = await store.open(digest);
    expect(await read(content)).toHaveLength(0);
  });

  test('forgets what is deleted, and can take it in again', async () => {
    await using fixture = await make();
    const { store } = fixture;
    const { bytes, digest } = sample(1_000);
    await store.put(digest, bytes);
    await store.delete(digest);
    expect([await store.stat(digest), await store.open(digest), await listed(store)]).toEqual([
      undefined,
      undefined,
      [],
    ]);
    await store.put(digest, bytes);
    expect(await store.stat(digest)).toEqual({ sizeBytes: 1_000 });
  });

  test('deletes what is not there without a word', async () => {
    await using fixture = await make();
    await expect(fixture.store.delete(sample(1).digest)).resolves.toBeUndefined();
  });

  test('lets readers read on when their content is deleted', async () => {
    await using fixture = await make();
    const { store } = fixture;
    const { bytes, digest } = sample(3 * MIB);
    await store.put(digest, bytes);
    await using content = await store.open(digest);
    await store.delete(digest);
    expect((await read(content)).equals(bytes)).toBe(true);
  });

  test('reads any range of it', async () => {
    await using fixture = await make();
    const { store } = fixture;
    const size = MIB + 7;
    const { bytes, digest } = sample(size);
    await store.put(digest, bytes);
    await using content = await store.open(digest);
    const edge = fc.oneof(fc.nat(size), fc.constantFrom(0, 1, 256 * 1024, 256 * 1024 + 1, MIB, size - 1, size));
    await fc.assert(
      fc.asyncProperty(edge, edge, async (one, other) => {
        const [start, end] = [Math.min(one, other), Math.max(one, other)];
        const part = await read(content, { range: { start, end } });
        expect(part.equals(bytes.subarray(start, end))).toBe(true);
      }),
      { numRuns: 60 },
    );
  });

  test('serves many readers of one content at once', async () => {
    await using fixture = await make();
    const { store } = fixture;
    const { bytes, digest } = sample(2 * MIB);
    await store.put(digest, bytes);
    const same = await Promise.all(
      Array.from({ length: 32 }, async () => {
        await using content = await store.open(digest);
        return (await read(content)).equals(bytes);
      }),
    );
    expect(new Set(same)).toEqual(new Set([true]));
  });

  test('lets a reader end early, and one content be read twice', async () => {
    await using fixture = await make();
    const { store } = fixture;
    const { bytes, digest } = sample(2 * MIB);
    await store.put(digest, bytes);
    await using content = await store.open(digest);
    const range = { start: 0, end: bytes.length };
    for await (const chunk of content?.chunks(range, { signal: new AbortController().signal }) ?? []) {
      chunk.release();
      break;
    }
    expect((await read(content)).equals(bytes)).toBe(true);
  });

  test('ends a read with the reason of its signal', async () => {
    await using fixture = await make();
    const { store } = fixture;
    const { bytes, digest } = sample(1_000);
    await store.put(digest, bytes);
    await using content = await store.open(digest);
    const reason = new Error('the client has gone');
    await expect(read(content, { signal: AbortSignal.abort(reason) })).rejects.toBe(reason);
  });

  test('takes a content closed twice for closed', async () => {
    await using fixture = await make();
    const { store } = fixture;
    const { bytes, digest } = sample(1_000);
    await store.put(digest, bytes);
    const content = await store.open(digest);
    await content?.[Symbol.asyncDispose]();
    await content?.[Symbol.asyncDispose]();
    await store.delete(digest);
    expect(await store.stat(digest)).toBeUndefined();
  });

  test('lists each content once while it is opened, deleted and added to', async () => {
    await using fixture = await make();
    const { store } = fixture;
    const samples = Array.from({ length: 12 }, (_, seed) => sample(100, seed));
    const digests = samples.map(({ digest }) => digest);
    for (const { bytes, digest } of samples) await store.put(digest, bytes);
    const seen: Digest[] = [];
    for await (const { digest } of store.list()) {
      seen.push(digest);
      expect(seen.length).toBeLessThanOrEqual(digests.length);
      await using content = await store.open(digest);
      expect((await read(content)).length).toBe(100);
      if (seen.length % 3 === 0) await store.delete(digest);
    }
    expect(seen.toSorted()).toEqual(digests.toSorted());
    expect(await listed(store)).toHaveLength(8);
  });

  test('refuses what is larger than all its room', async () => {
    await using fixture = await make();
    const { store } = fixture;
    const { bytes, digest } = sample(1_000);
    await store.put(digest, bytes);
    await expect(store.ingest(sample(1).digest, Number.MAX_SAFE_INTEGER)).rejects.toMatchObject({
      code: 'UNAVAILABLE',
    });
    expect(await store.stat(digest)).toEqual({ sizeBytes: 1_000 });
  });

  test('opens, reads, replaces and deletes at the same time without ever giving wrong bytes', async () => {
    await using fixture = await make();
    const { store } = fixture;
    const { bytes, digest } = sample(MIB);
    const work = Array.from({ length: 60 }, async (_, turn) => {
      if (turn % 3 === 0) return await store.put(digest, bytes);
      if (turn % 7 === 0) return await store.delete(digest);
      await using content = await store.open(digest);
      return content && (await read(content)).equals(bytes);
    });
    expect(await Promise.all(work)).not.toContain(false);
    await store.put(digest, bytes);
    expect(await listed(store)).toEqual([{ digest, sizeBytes: MIB }]);
  });
}

async function listed(store: ContentStore): Promise<{ digest: Digest; sizeBytes: number }[]> {
  return await Array.fromAsync(store.list());
}
