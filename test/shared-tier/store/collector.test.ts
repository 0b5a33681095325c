import { describe, expect, test } from 'vitest';
import type { Digest } from '../../../oci/digest.ts';
import { Collector, type CollectorOptions, type CollectorTurn } from '../../../shared-tier/store/collector.ts';
import { ENTRY_LIFE_MS } from '../../../shared-tier/store/catalog.ts';
import { keys } from '../../../shared-tier/store/keys.ts';
import { Uses } from '../../../shared-tier/store/uses.ts';
import { read, sample } from '../../content/fixtures.ts';
import { REGISTRY, placeOf } from '../fixtures.ts';
import { type Replica, s3Store } from './fixtures.ts';

const here = placeOf('org/app');
const KB = 1_000;
const SAMPLES = Array.from({ length: 10 }, (_, seed) => sample(10 * KB, seed));
const FIRST = sample(10 * KB, 0);
/** So that what is deleted goes in the next round. */
const NO_GRACE = -ENTRY_LIFE_MS;

/** A bucket with ten contents of 10 KB, written one after the other, and what collects there. */
async function filled(options: Partial<CollectorOptions> = {}) {
  const it = await s3Store();
  const evicted: Digest[] = [];
  const turns = { taken: 0, given: 0, lost: new AbortController(), free: true };
  const collectorOn = (
    { bucket, catalog }: Pick<Replica, 'bucket' | 'catalog'> = it,
    more: Partial<CollectorOptions> = {},
  ): Collector =>
    new Collector({
      bucket,
      catalog,
      capacityBytes: 50 * KB,
      urlLifeMs: 0,
      evicted: (digest) => void evicted.push(digest),
      failed: (error) => void it.failures.push(error as never),
      takeTurn: async () => {
        if (!turns.free) return undefined;
        turns.taken += 1;
        return turnOf(turns.lost.signal, () => (turns.given += 1));
      },
      graceMs: NO_GRACE,
      ...options,
      ...more,
    });
  for (const { digest, bytes } of SAMPLES) {
    await it.store.put(digest, bytes);
    await it.records.fetched(here, digest, 'a/b');
  }
  age(it.server.bucket, 3_600_000);
  return { ...it, evicted, turns, collectorOn, stored: async () => await digestsIn(it.store) };
}

describe('the collector', () => {
  test('leaves what has room', async () => {
    await using it = await filled({ capacityBytes: 100 * KB });
    await using collector = it.collectorOn();
    await collector.round();
    expect([it.evicted, collector.usage]).toEqual([[], { blobs: 10, bytes: 100 * KB }]);
  });

  test('deletes what was used least recently, by any replica, until there is a little room', async () => {
    await using it = await filled();
    const other = await it.another();
    const [one, two] = [new Uses({ ...it, failed: fail }), new Uses({ ...other, failed: fail })];
    for (const { digest } of SAMPLES.slice(0, 2)) one.note(digest);
    for (const { digest } of SAMPLES.slice(2, 4)) two.note(digest);
    await one[Symbol.asyncDispose]();
    await two[Symbol.asyncDispose]();
    await using collector = it.collectorOn();

    await collector.round();

    const used = digestsOf(SAMPLES.slice(0, 4));
    expect(await it.stored()).toEqual(used.toSorted());
    expect([it.evicted.length, collector.usage]).toEqual([6, { blobs: 4, bytes: 40 * KB }]);
    const [gone = FIRST.digest] = it.evicted;
    expect([await it.store.stat(gone), await it.records.hasFrom(REGISTRY, gone)]).toEqual([undefined, false]);
    expect(await (await it.another()).store.open(gone)).toBeUndefined();
  });

  test('remembers uses after their records have gone, and so does the next one to collect', async () => {
    await using it = await filled({ capacityBytes: 100 * KB });
    const uses = new Uses({ ...it, failed: fail });
    for (const { digest } of SAMPLES.slice(0, 4)) uses.note(digest);
    await uses[Symbol.asyncDispose]();
    await using first = it.collectorOn();
    await first.round();
    expect(it.server.bucket.keys('of/a/test/v1/uses/')).toEqual([]);
    await using next = it.collectorOn(await it.another(), { capacityBytes: 50 * KB });
    await next.round();
    expect(await it.stored()).toEqual(digestsOf(SAMPLES.slice(0, 4)).toSorted());
  });

  test('removes the bytes only when nobody can believe any more that they are there', async () => {
    await using it = await filled({ graceMs: 60_000 });
    await using content = await (await it.another()).store.open(FIRST.digest);
    await using patient = it.collectorOn();
    await patient.round();
    await patient.round();
    expect(it.server.bucket.keys('of/a/test/v1/blobs/')).toHaveLength(10);
    expect((await read(content)).equals(FIRST.bytes)).toBe(true);

    await using quick = it.collectorOn(it, { graceMs: NO_GRACE });
    await quick.round();

    expect(it.server.bucket.keys('of/a/test/v1/blobs/')).toHaveLength(4);
    expect(it.server.bucket.keys('of/a/test/v1/deleted/')).toEqual([]);
    expect(it.server.bucket.keys('of/a/test/v1/records/')).toHaveLength(4);
  });

  test('keeps what has come again since it was deleted', async () => {
    await using it = await filled({ capacityBytes: 100 * KB });
    const { digest, bytes } = FIRST;
    await it.store.delete(digest);
    await it.store.put(digest, bytes);
    await using collector = it.collectorOn();
    await collector.round();
    expect([await it.store.stat(digest), it.server.bucket.keys('of/a/test/v1/deleted/')]).toEqual([
      { sizeBytes: 10 * KB },
      [],
    ]);
    await using content = await (await it.another()).store.open(digest);
    expect((await read(content)).equals(bytes)).toBe(true);
  });

  test('removes bytes that never got a record, when there is too much', async () => {
    await using it = await filled({ capacityBytes: 100 * KB });
    const orphan = sample(20 * KB, 99);
    await it.bucket.put(`v1/blobs/sha256/${orphan.digest.slice(7, 9)}/${orphan.digest.slice(7)}`, orphan.bytes);
    age(it.server.bucket, 7_200_000, orphan.digest.slice(7));
    await using collector = it.collectorOn();
    await collector.round();
    expect(it.evicted[0]).toBe(orphan.digest);
    expect(it.server.bucket.keys().filter((key) => key.includes(orphan.digest.slice(7)))).toEqual([]);
  });

  test('gives up what others began to upload long ago, and nothing else', async () => {
    await using it = await filled({ capacityBytes: 100 * KB });
    const [old, elsewhere] = [it.server.bucket.begin('of/a/test/v1/blobs/x'), it.server.bucket.begin('of/other/x')];
    const young = it.server.bucket.begin('of/a/test/v1/blobs/y');
    for (const id of [old, elsewhere]) it.server.bucket.uploads.get(id)?.begunAt.setTime(0);
    await using collector = it.collectorOn();
    await collector.round();
    expect([...it.server.bucket.uploads.keys()].toSorted()).toEqual([elsewhere, young].toSorted());
  });

  test('does nothing when it is not its turn, keeps its turn, and gives it back in the end', async () => {
    await using it = await filled();
    const collector = it.collectorOn();
    it.turns.free = false;
    const before = it.server.requests.length;
    await collector.round();
    // It looks what the last round found.
    expect([it.server.requests.length, it.evicted, collector.usage]).toEqual([before + 1, [], undefined]);
    it.turns.free = true;
    await collector.round();
    await collector.round();
    expect([it.turns.taken, it.turns.given, it.evicted.length]).toEqual([1, 0, 6]);
    await collector[Symbol.asyncDispose]();
    expect(it.turns.given).toBe(1);
  });

  test('tells the replicas that do not collect how much there is', async () => {
    await using it = await filled();
    await using one = it.collectorOn();
    await one.round();
    it.turns.free = false;
    await using other = it.collectorOn(await it.another());
    await other.round();
    expect([one.usage, other.usage]).toEqual([
      { blobs: 4, bytes: 40 * KB },
      { blobs: 4, bytes: 40 * KB },
    ]);
  });

  test('forgets repositories that nobody could read for a day', async () => {
    await using it = await filled({ capacityBytes: 100 * KB });
    const [old, young] = ['org/old', 'org/young'].map((name) => keys.publicPlace(`registry.test/${name}`));
    for (const key of [old ?? '', young ?? '']) await it.bucket.put(key, Buffer.from('{}'));
    age(it.server.bucket, 25 * 3_600_000, old);
    await using collector = it.collectorOn();
    await collector.round();
    expect(it.server.bucket.keys('of/a/test/v1/public/')).toEqual([`of/a/test/${young}`]);
  });

  test('stops when another replica has taken over', async () => {
    await using it = await filled();
    it.turns.lost.abort();
    await using collector = it.collectorOn();
    await collector.round();
    expect(it.evicted).toEqual([]);
  });

  test('takes what is not its own for nothing', async () => {
    await using it = await filled();
    for (const key of ['uses/x.json', 'uses.json', 'blobs/x', 'deleted/x/y', 'blobs/sha256/aa/bb']) {
      await it.bucket.put(`v1/${key}`, Buffer.from('nonsense'));
    }
    await using collector = it.collectorOn();
    await collector.round();
    expect(collector.usage).toEqual({ blobs: 4, bytes: 40 * KB });
  });
});

function turnOf(lost: AbortSignal, given: () => void): CollectorTurn {
  return { lost, [Symbol.asyncDispose]: async () => given() };
}

/** Makes objects look as if they had been written so long ago. */
function age(bucket: { objects: Map<string, { writtenAt: Date }> }, ms: number, part = ''): void {
  for (const [key, { writtenAt }] of bucket.objects) {
    if (key.includes(part)) writtenAt.setTime(writtenAt.getTime() - ms);
  }
}

function digestsOf(samples: readonly { digest: Digest }[]): Digest[] {
  return samples.map(({ digest }) => digest);
}

async function digestsIn(store: { list(): AsyncIterable<{ digest: Digest }> }): Promise<Digest[]> {
  return digestsOf(await Array.fromAsync(store.list())).toSorted();
}

function fail(error: unknown): void {
  throw error;
}
