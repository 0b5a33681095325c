import { readdir } from 'node:fs/promises';
import { setImmediate as nextTurn } from 'node:timers/promises';
import { describe, expect, test, vi } from 'vitest';
import { digestOf } from '../../oci/digest.ts';
import { OciError } from '../../oci/error.ts';
import { generatedBlob, readBytes } from '../support/blobs.ts';
import { openFilesIn } from '../support/open-files.ts';
import type { Moods } from '../support/origin-moods.ts';
import { startOrigin } from '../support/origin.ts';
import {
  APP,
  MIB,
  REGISTRY,
  type TierOptions,
  bytesOf,
  failureOf,
  forever,
  placeOf,
  rightsAt,
  tierOf,
} from './fixtures.ts';

const blob = generatedBlob(8 * MIB + 5, 1);
const bytes = readBytes(blob);
const digest = digestOf(bytes);
const here = placeOf(APP);

async function fetchesOf(mood: Moods = {}, options: TierOptions = {}) {
  const stack = new AsyncDisposableStack();
  const origin = stack.use(await startOrigin());
  await origin.addBlob(APP, blob);
  origin.mood = mood;
  const tier = stack.use(await tierOf({ [REGISTRY]: origin }, options));
  return {
    ...tier,
    origin,
    start: () => tier.fetches.start(tier.client(), rightsAt(here), digest),
    [Symbol.asyncDispose]: () => stack[Symbol.asyncDispose](),
  };
}

describe('a fetch', () => {
  test('is one GET for all who want the content, and all get all of it', async () => {
    await using it = await fetchesOf();
    const all = await Promise.all(
      Array.from({ length: 32 }, async () => {
        const fetch = it.start();
        expect(await fetch.opened()).toMatchObject({ sizeBytes: blob.sizeBytes });
        await using content = await fetch.follow();
        return (await bytesOf(content)).equals(bytes);
      }),
    );
    expect([new Set(all), it.origin.requests.length, it.origin.bodyBytes(digest)]).toEqual([
      new Set([true]),
      1,
      blob.sizeBytes,
    ]);
    expect(it.received.bytes).toBe(blob.sizeBytes);
  });

  test('is recorded and over when the content is committed', async () => {
    await using it = await fetchesOf();
    await it.start().opened();
    await expect.poll(() => it.ended).toEqual([{ digest, error: undefined }]);
    expect([it.fetches.count, await it.records.hasFrom(REGISTRY, digest)]).toEqual([0, true]);
    expect(await it.records.heldAs(here, digest)).toBe('application/octet-stream');
    await using content = await it.store.open(digest);
    expect((await bytesOf(content)).equals(bytes)).toBe(true);
  });

  test('gives its first bytes before its last ones have come', async () => {
    await using it = await fetchesOf({ stallAt: 2 * MIB });
    const fetch = it.start();
    await fetch.opened();
    await using content = await fetch.follow();
    expect((await bytesOf(content, 0, MIB)).equals(bytes.subarray(0, MIB))).toBe(true);
    expect(it.ended).toEqual([]);
  });

  test.each<[string, Moods, string]>([
    ['absent', { status: 404 }, 'BLOB_UNKNOWN'],
    ['denied', { status: 401 }, 'BLOB_UNKNOWN'],
    ['a page', { html: true }, 'UNAVAILABLE'],
    ['broken', { status: 500 }, 'UNAVAILABLE'],
  ])('of what is %s fails for all who wait, and the next one asks again', async (_name, mood, code) => {
    await using it = await fetchesOf(mood);
    const errors = await Promise.all([it.start(), it.start()].map((fetch) => failureOf(fetch.opened())));
    expect(errors.map((error) => error.code)).toEqual([code, code]);
    expect([it.fetches.count, it.ended.length]).toEqual([0, 1]);
    it.origin.calm();
    expect(await it.start().opened()).toMatchObject({ sizeBytes: blob.sizeBytes });
  });

  test('does not end with any of its readers', async () => {
    await using it = await fetchesOf({ bytesPerSecondPerConnection: 16 * MIB });
    const fetch = it.start();
    await fetch.opened();
    const [one, two] = [await fetch.follow(), await fetch.follow()];
    await bytesOf(one, 0, 1000);
    await one[Symbol.asyncDispose]();
    await one[Symbol.asyncDispose](); // twice is once
    expect((await bytesOf(two)).equals(bytes)).toBe(true);
    await two[Symbol.asyncDispose]();
    expect(it.origin.requests).toHaveLength(1);
  });

  test('of an origin that is silent fails within the time that the contract gives', async () => {
    await using it = await fetchesOf({ stallHeaders: true }, { silenceMs: 200 });
    expect((await failureOf(it.start().opened())).code).toBe('UNAVAILABLE');
  });

  test('of one origin is not shared with another', async () => {
    await using it = await fetchesOf();
    await using other = await startOrigin();
    await using tier = await tierOf({ [REGISTRY]: it.origin, 'other.test': other });
    const otherPlace = placeOf(APP, 'other.test' as typeof REGISTRY);
    const fetch = tier.fetches.start(tier.client(), rightsAt(here), digest);
    const foreign = tier.fetches.start(tier.client(otherPlace.registry), rightsAt(otherPlace), digest);
    expect(await fetch.opened()).toMatchObject({ sizeBytes: blob.sizeBytes });
    expect((await failureOf(foreign.opened())).code).toBe('BLOB_UNKNOWN');
  });
});

describe('content that is wrong', () => {
  test('is never read whole, never kept, and not asked for again for a while', async () => {
    await using it = await fetchesOf({ lie: true }, { quarantineMs: 400 });
    const fetch = it.start();
    await fetch.opened();
    await using content = await fetch.follow();
    expect((await failureOf(bytesOf(content))).code).toBe('CORRUPT');
    await expect.poll(() => it.ended[0]?.error?.code).toBe('CORRUPT');

    expect([await it.store.stat(digest), await it.records.hasFrom(REGISTRY, digest)]).toEqual([undefined, false]);
    expect(() => it.fetches.assertTrusted(REGISTRY, digest)).toThrow(OciError);
    expect(() => it.fetches.assertTrusted('other.test' as typeof REGISTRY, digest)).not.toThrow();
    await vi.waitFor(() => expect(() => it.fetches.assertTrusted(REGISTRY, digest)).not.toThrow());
  });

  test('leaves neither file nor handle', async () => {
    await using it = await fetchesOf({ lie: true });
    const fetch = it.start();
    await fetch.opened();
    const content = await fetch.follow();
    await failureOf(bytesOf(content));
    await content[Symbol.asyncDispose]();
    await expect.poll(() => openFilesIn(it.directory)).toEqual([]);
    await expect.poll(() => readdir(it.store.layout.ingests)).toEqual([]);
    expect(it.store.usage.bytes).toBe(0);
  });
});

describe('a fetch that nobody waits for any more', () => {
  const slow = { bytesPerSecondPerConnection: 4 * MIB };

  test('goes on for a while and, if that is enough, to its end', async () => {
    await using it = await fetchesOf({ bytesPerSecondPerConnection: 20 * MIB }, { lingerMs: 5_000 });
    const fetch = it.start();
    await fetch.opened();
    await (await fetch.follow())[Symbol.asyncDispose]();
    await vi.waitFor(() => expect(it.ended).toEqual([{ digest, error: undefined }]), 5_000);
  });

  test('stops after that, and what has arrived is not fetched again', async () => {
    await using it = await fetchesOf(slow, { lingerMs: 300, parkMs: 60_000 });
    await it.start().opened();
    await it.origin.idle();
    expect([it.ended, it.fetches.count]).toEqual([[], 1]);
    const before = it.received.bytes;
    expect(before).toBeLessThan(blob.sizeBytes);
    it.origin.calm();

    const fetch = it.start();
    await fetch.opened();
    await using content = await fetch.follow();

    expect((await bytesOf(content)).equals(bytes)).toBe(true);
    expect(it.origin.requests.at(-1)?.range).toMatch(new RegExp(`^bytes=${before}-`));
    expect(it.received.bytes).toBe(blob.sizeBytes);
  });

  test('is forgotten, file and all, when nobody comes back', async () => {
    await using it = await fetchesOf(slow, { lingerMs: 50, parkMs: 100 });
    await it.start().opened();
    await expect.poll(() => it.ended[0]?.error?.code).toBe('UNAVAILABLE');
    await expect.poll(() => openFilesIn(it.directory)).toEqual([]);
    expect([it.fetches.count, it.store.usage.bytes]).toEqual([0, 0]);
  });

  test('does not stop while somebody reads, however slowly', async () => {
    await using it = await fetchesOf(slow, { lingerMs: 50, parkMs: 50 });
    const fetch = it.start();
    await fetch.opened();
    await using content = await fetch.follow();
    expect((await bytesOf(content)).equals(bytes)).toBe(true);
    expect(it.origin.requests).toHaveLength(1);
  });

  test('comes back as often as somebody wants it', async () => {
    await using it = await fetchesOf(slow, { lingerMs: 20, parkMs: 60_000 });
    for (let round = 0; round < 6; round += 1) {
      await it.start().opened();
      await it.origin.idle();
    }
    it.origin.calm();
    const fetch = it.start();
    await fetch.opened();
    await using content = await fetch.follow();
    expect((await bytesOf(content)).equals(bytes)).toBe(true);
    expect(it.received.bytes).toBe(blob.sizeBytes);
  });

  test('that comes to its end while it is being stopped has ended well, and asks for nothing more', async () => {
    await using it = await fetchesOf({}, { lingerMs: 1, parkMs: 60_000 });
    // The stop falls somewhere between the last byte and the commit; whoever comes back finds all of it.
    for (let round = 0; round < 10; round += 1) {
      const fetch = it.start();
      await fetch.opened();
      while (it.ended.length === round) {
        await nextTurn();
        if (it.fetches.find({ registry: REGISTRY }, digest)) await it.start().opened();
      }
      await it.store.delete(digest);
    }
    expect(it.ended.map(({ error }) => error)).toEqual(Array.from({ length: 10 }, () => undefined));
    await it.origin.idle();
    expect(it.received.bytes).toBe(blob.sizeBytes * 10);
  });
});

describe('the end of all fetches', () => {
  test('frees who waits, in every state of a fetch', async () => {
    const it = await fetchesOf({ stallAt: MIB });
    const absent = digestOf(Buffer.from('absent'));
    it.origin.when({ digest: absent }, { stallHeaders: true });
    const fetch = it.start();
    await fetch.opened();
    const content = await fetch.follow();
    const reading = failureOf(bytesOf(content));
    const opening = failureOf(it.fetches.start(it.client(), rightsAt(here), absent).opened());
    await it.origin.arrived({ kind: 'blob' }, 2);

    await it.fetches[Symbol.asyncDispose]();

    expect([(await reading).code, (await opening).code]).toEqual(['UNAVAILABLE', 'UNAVAILABLE']);
    await content[Symbol.asyncDispose]();
    expect([it.fetches.count, it.ended.length]).toEqual([0, 2]);
    expect(await openFilesIn(it.directory)).toEqual([]);
    await it[Symbol.asyncDispose]();
  });

  test('ends those that nobody waits for as well', async () => {
    const it = await fetchesOf({ bytesPerSecondPerConnection: MIB }, { lingerMs: 20 });
    await it.start().opened();
    await it.origin.idle();

    await it.fetches[Symbol.asyncDispose]();

    expect([it.fetches.count, it.ended.length]).toEqual([0, 1]);
    expect(await openFilesIn(it.directory)).toEqual([]);
    await it[Symbol.asyncDispose]();
  });
});

test('more fetches than may run at once wait their turn and all end', async () => {
  await using origin = await startOrigin();
  const all = await Promise.all(
    Array.from({ length: 80 }, (_each, index) => origin.addBlob(APP, generatedBlob(10_000, index + 10))),
  );
  await using tier = await tierOf({ [REGISTRY]: origin });
  await Promise.all(all.map((each) => tier.fetches.start(tier.client(), rightsAt(here), each.digest).opened()));
  await expect.poll(() => tier.ended).toHaveLength(80);
  expect(tier.ended.filter(({ error }) => error)).toEqual([]);
  expect(forever.aborted).toBe(false);
});
