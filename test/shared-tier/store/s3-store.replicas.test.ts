import { describe, expect, test, vi } from 'vitest';
import { MIB, SOON, read, sample, startReading } from '../../content/fixtures.ts';
import { REGISTRY, placeOf } from '../fixtures.ts';
import { s3Store } from './fixtures.ts';

const here = placeOf('org/app');
const { bytes: BYTES, digest: D } = sample(MIB);
const BLOBS = /\/v1\/blobs\//;

describe('replicas on one bucket', () => {
  test('see what one of them has taken in, at once', async () => {
    await using it = await s3Store();
    const other = await it.another();
    await it.store.put(D, BYTES);
    await it.records.fetched(here, D, 'application/json');
    expect([await other.store.stat(D), await other.records.hasFrom(REGISTRY, D)]).toEqual([{ sizeBytes: MIB }, true]);
    await using content = await other.store.open(D);
    expect((await read(content)).equals(BYTES)).toBe(true);
  });

  test('note at the same time what their origins say, and lose none of it', async () => {
    await using it = await s3Store();
    const replicas = [it, await it.another(), await it.another()];
    await it.store.put(D, BYTES);
    for (let round = 0; round < 10; round += 1) {
      replicas.forEach(({ records }, index) => records.proved(placeOf(`r${index}/x${round}`), D, 'a/b'));
    }
    await Promise.all(replicas.map(({ records }) => records.settled()));
    const { records } = await it.another();
    const places = replicas.flatMap((_, index) =>
      Array.from({ length: 10 }, (_each, at) => placeOf(`r${index}/x${at}`)),
    );
    expect(await Promise.all(places.map((place) => records.heldAs(place, D)))).toEqual(places.map(() => 'a/b'));
  });

  test('do so too, one after the other, where the store knows no conditional writes', async () => {
    await using it = await s3Store();
    it.server.moods.push({ method: 'PUT', key: /records/, times: 1, error: [501, 'NotImplemented'] });
    await it.store.put(D, BYTES);
    expect([await (await it.another()).store.stat(D), it.failures]).toEqual([{ sizeBytes: MIB }, []]);
  });

  test('read from the bucket with one request, and what is in the spool with none', async () => {
    await using it = await s3Store();
    const other = await it.another();
    await it.store.put(D, BYTES);
    await other.store.stat(D);
    const before = it.server.requests.length;
    await using remote = await other.store.open(D);
    expect((await read(remote)).equals(BYTES)).toBe(true);
    expect(it.server.requests.slice(before).map(({ method, headers }) => [method, headers.range])).toEqual([
      ['GET', `bytes=0-${MIB - 1}`],
    ]);
    await using local = await it.store.open(D);
    expect((await read(local)).equals(BYTES)).toBe(true);
    expect(it.server.requests).toHaveLength(before + 1);
  });

  test('copy what is asked for again into their spools, once for all who ask', async () => {
    await using it = await s3Store();
    const other = await it.another();
    await it.store.put(D, BYTES);
    const pull = async (): Promise<boolean> => {
      await using content = await other.store.open(D);
      return (await read(content)).equals(BYTES);
    };
    await pull();
    const before = it.server.count({ method: 'GET', key: BLOBS });
    expect(new Set(await Promise.all(Array.from({ length: 16 }, pull)))).toEqual(new Set([true]));
    await vi.waitFor(async () => expect(await other.spool.stat(D)).toEqual({ sizeBytes: MIB }), SOON);
    await pull();
    expect(it.server.count({ method: 'GET', key: BLOBS })).toBe(before + 1);
  });

  test('copy large content in parts, several at once, each of them once', async () => {
    const large = sample(66 * MIB, 3);
    await using it = await s3Store({ spoolBytes: 512 * MIB });
    const other = await it.another();
    // As fetched content comes; a put is for manifests, and is saved later by who cannot wait for it.
    await using ingest = await it.store.ingest(large.digest, large.bytes.length);
    await ingest.write(0, [large.bytes]);
    await ingest.commit();
    const pull = async (): Promise<boolean> => {
      await using content = await other.store.open(large.digest);
      return (await read(content)).equals(large.bytes);
    };
    expect(await pull()).toBe(true);
    const before = it.server.requests.length;
    // Nobody is answered before four have asked.
    it.server.moods.push({ method: 'GET', key: BLOBS, slowMs: 1_000, times: 4 });
    const pulled = pull();
    await vi.waitFor(() => expect(it.server.requests.length - before).toBeGreaterThanOrEqual(4), SOON);
    expect(it.server.requests.slice(before).every(({ status }) => status === 0)).toBe(true);
    expect(await pulled).toBe(true);
    await vi.waitFor(async () => expect(await other.spool.stat(large.digest)).toBeDefined(), SOON);
    const ranges = it.server.requests.slice(before).map(({ headers }) => /bytes=(\d+)-(\d+)/.exec(headers.range ?? ''));
    const bytes = ranges.reduce((sum, part) => sum + Number(part?.[2]) - Number(part?.[1]) + 1, 0);
    expect([bytes, it.failures]).toEqual([large.bytes.length, []]);
  });

  test('find out while they copy that the bucket gives other bytes, and give nobody the last one', async () => {
    await using it = await s3Store();
    const other = await it.another();
    await it.store.put(D, BYTES);
    await using first = await other.store.open(D);
    await read(first);
    it.server.bucket.put(`of/a/test/v1/blobs/sha256/${D.slice(7, 9)}/${D.slice(7)}`, sample(MIB, 1).bytes);
    await using content = await other.store.open(D);
    await expect(read(content)).rejects.toMatchObject({ code: 'CORRUPT' });
    await vi.waitFor(async () => expect(await other.store.stat(D)).toBeUndefined(), SOON);
  });

  test('take over what the bucket has when they start with an empty spool', async () => {
    await using it = await s3Store();
    const samples = [1, 2, 3].map((seed) => sample(100_000, seed));
    for (const { digest, bytes } of samples) await it.store.put(digest, bytes);
    const { store } = await it.another();
    expect((await Array.fromAsync(store.list())).map(({ digest }) => digest).toSorted()).toEqual(
      samples.map(({ digest }) => digest).toSorted(),
    );
    for (const { digest, bytes } of samples) {
      await using content = await store.open(digest);
      expect((await read(content)).equals(bytes)).toBe(true);
    }
  });

  test('list more contents than one answer of the store has', async () => {
    await using it = await s3Store();
    const samples = Array.from({ length: 120 }, (_, seed) => sample(100, seed));
    await Promise.all(samples.map(({ digest, bytes }) => it.store.put(digest, bytes)));
    expect(await Array.fromAsync(it.store.list())).toHaveLength(120);
  });

  test('do not upload again what the bucket has, from whichever origin it comes', async () => {
    await using it = await s3Store();
    const other = await it.another();
    await it.store.put(D, BYTES);
    await using ingest = await other.store.ingest(D, MIB);
    await ingest.write(0, [BYTES]);
    await ingest.commit();
    expect(it.server.count({ method: 'PUT', key: BLOBS })).toBe(1);
  });

  test.each([true, false])(
    'leave the upload to the one that fetches, whether it comes to its end: %s',
    async (isWhole) => {
      await using it = await s3Store();
      const other = await it.another();
      await using fetching = await it.store.ingest(D, MIB);
      await using following = await other.store.ingest(D, MIB, { isCopy: true });
      await following.write(0, [BYTES]);
      await following.commit();
      await other.records.fetched(here, D, 'a/b');
      expect([await other.store.stat(D), await other.records.hasFrom(REGISTRY, D)]).toEqual([{ sizeBytes: MIB }, true]);
      expect(it.server.count({ method: 'PUT' })).toBe(0);
      await fetching.write(0, [BYTES]);
      if (isWhole) await fetching.commit();
      else await fetching[Symbol.asyncDispose]();

      await other.store.saveUnsaved();

      const { store, records } = await it.another();
      expect([await store.stat(D), await records.heldAs(here, D)]).toEqual([{ sizeBytes: MIB }, 'a/b']);
      await using content = await store.open(D);
      expect((await read(content)).equals(BYTES)).toBe(true);
      expect(it.server.bucket.uploads.size).toBe(0);
      expect(it.server.bucket.keys().filter((key) => BLOBS.test(key))).toHaveLength(1);
    },
  );

  test('give URLs of the bucket away only where that is wanted, and only of what is there', async () => {
    await using it = await s3Store();
    const other = await it.another({ isPresigned: true });
    await it.store.put(D, BYTES);
    expect(await it.store.presign(D, 60_000)).toBeUndefined();
    expect(await other.store.presign(sample(1).digest, 60_000)).toBeUndefined();
    const url = (await other.store.presign(D, 59_900)) ?? '';
    expect(new URL(url).searchParams.get('X-Amz-Expires')).toBe('59');
    const answer = await fetch(url, { headers: { range: 'bytes=5-9' } });
    expect(Buffer.from(await answer.arrayBuffer()).equals(BYTES.subarray(5, 10))).toBe(true);
    expect((await fetch(url, { method: 'PUT', body: 'other' })).status).toBe(403);
    expect(other.used).toEqual([D]);
  });
});

describe('a bucket in trouble', () => {
  test('does not hold up who follows content that arrives, and gets it later', async () => {
    await using it = await s3Store({ saveEveryMs: 50 });
    it.server.moods.push(
      { method: 'PUT', error: [403, 'AccessDenied'] },
      { method: 'POST', error: [403, 'AccessDenied'] },
    );
    await using ingest = await it.store.ingest(D, MIB);
    await using follower = ingest.follow();
    const reading = startReading(follower);
    await ingest.write(0, [BYTES]);
    await ingest.commit();
    await it.records.fetched(here, D, 'a/b');
    expect((await reading.result).equals(BYTES)).toBe(true);
    expect([await it.store.stat(D), await it.records.hasFrom(REGISTRY, D)]).toEqual([{ sizeBytes: MIB }, true]);
    expect((await Array.fromAsync(it.store.list())).map(({ digest }) => digest)).toEqual([D]);
    await using content = await it.store.open(D);
    expect((await read(content)).equals(BYTES)).toBe(true);
    const other = await it.another();
    expect(await other.store.stat(D)).toBeUndefined();
    expect(it.failures.length).toBeGreaterThan(0);

    it.server.moods.length = 0;

    await vi.waitFor(async () => expect(await other.records.heldAs(here, D)).toBe('a/b'), SOON);
    await using saved = await other.store.open(D);
    expect((await read(saved)).equals(BYTES)).toBe(true);
  });

  test('takes manifests later as well', async () => {
    await using it = await s3Store();
    it.server.moods.push({ method: 'PUT', error: [403, 'AccessDenied'] });
    const small = sample(500);
    await it.store.put(small.digest, small.bytes);
    it.server.moods.length = 0;
    await it.store.saveUnsaved();
    expect(await (await it.another()).store.stat(small.digest)).toEqual({ sizeBytes: 500 });
  });

  test('refuses only what neither it nor the spool takes', async () => {
    await using it = await s3Store({ spoolBytes: 100 });
    const small = sample(500);
    await it.store.put(small.digest, small.bytes);
    expect(await it.store.stat(small.digest)).toEqual({ sizeBytes: 500 });
    it.server.moods.push({ method: 'PUT', error: [403, 'AccessDenied'] });
    const other = sample(500, 1);
    await expect(it.store.put(other.digest, other.bytes)).rejects.toMatchObject({ code: 'UNAVAILABLE' });
    expect(await it.store.stat(other.digest)).toBeUndefined();
  });

  test('that is away is not noticed by who reads from the spool', async () => {
    await using it = await s3Store();
    await it.store.put(D, BYTES);
    await it.server.down();
    await using content = await it.store.open(D);
    expect((await read(content)).equals(BYTES)).toBe(true);
    await using later = await it.store.ingest(sample(10).digest, 10);
    await later.write(0, [sample(10).bytes]);
    await expect(later.commit()).resolves.toBeUndefined();
  });

  test('that is away makes what is only there unavailable: soon, and at once the next time', async () => {
    await using it = await s3Store();
    const other = await it.another();
    await it.store.put(D, BYTES);
    await other.store.stat(D);
    await it.server.down();
    await using content = await other.store.open(D);
    await expect(read(content)).rejects.toMatchObject({ code: 'UNAVAILABLE' });
    await expect(other.store.open(D)).rejects.toMatchObject({ code: 'UNAVAILABLE' });
    await expect((await it.another()).store.stat(D)).rejects.toMatchObject({ code: 'UNAVAILABLE' });
    expect(await (await it.another()).records.hasFrom(REGISTRY, D)).toBe(false);
  });

  test('is read on where a connection broke, and asked again when it is too busy', async () => {
    await using it = await s3Store();
    const other = await it.another();
    await it.store.put(D, BYTES);
    it.server.moods.push(
      { method: 'GET', key: BLOBS, times: 2, cutAfter: 300_000 },
      { method: 'GET', key: BLOBS, times: 1, error: [503, 'SlowDown'] },
      { method: 'GET', key: /records/, times: 2, error: [503, 'SlowDown'] },
    );
    await using content = await other.store.open(D);
    expect((await read(content)).equals(BYTES)).toBe(true);
    const starts = it.server.requests.filter(({ method, key }) => method === 'GET' && BLOBS.test(key));
    expect(starts.map(({ headers }) => headers.range?.split('-', 1).join())).toEqual([
      'bytes=0',
      'bytes=300000',
      'bytes=600000',
      'bytes=600000',
    ]);
  });

  test('that has lost bytes which its record promises is believed: they are gone, for all', async () => {
    await using it = await s3Store();
    const other = await it.another();
    await it.store.put(D, BYTES);
    for (const key of it.server.bucket.keys().filter((each) => BLOBS.test(each))) it.server.bucket.objects.delete(key);
    await using content = await other.store.open(D);
    await expect(read(content)).rejects.toMatchObject({ code: 'UNAVAILABLE' });
    expect([await other.store.stat(D), await (await it.another()).store.stat(D)]).toEqual([undefined, undefined]);
  });

  test('lets a reader go who has hung up', async () => {
    await using it = await s3Store();
    const other = await it.another();
    await it.store.put(D, BYTES);
    it.server.moods.push({ method: 'GET', key: BLOBS, silent: true });
    await using content = await other.store.open(D);
    const [client, reason] = [new AbortController(), new Error('the client has gone')];
    const reading = read(content, { signal: client.signal });
    reading.catch(() => undefined); // looked at below
    await vi.waitFor(() => expect(it.server.count({ method: 'GET', key: BLOBS })).toBe(1), SOON);
    client.abort(reason);
    await expect(reading).rejects.toBe(reason);
  });
});
