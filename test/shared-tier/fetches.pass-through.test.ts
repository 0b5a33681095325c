import { rename, rm, writeFile } from 'node:fs/promises';
import { describe, expect, test } from 'vitest';
import { digestOf } from '../../oci/digest.ts';
import { generatedBlob, readBytes } from '../support/blobs.ts';
import type { Moods } from '../support/origin-moods.ts';
import { startOrigin } from '../support/origin.ts';
import { APP, MIB, REGISTRY, type TierOptions, bytesOf, failureOf, placeOf, rightsAt, tierOf } from './fixtures.ts';

const blob = generatedBlob(8 * MIB + 5, 1);
const bytes = readBytes(blob);
const digest = digestOf(bytes);
const here = placeOf(APP);
const SMALL = { capacityBytes: MIB };

/** A tier whose store has no room for the blob, unless the options say otherwise. */
async function fetchesOf(mood: Moods = {}, options: TierOptions = SMALL) {
  const stack = new AsyncDisposableStack();
  const origin = stack.use(await startOrigin());
  await origin.addBlob(APP, blob);
  origin.mood = mood;
  const tier = stack.use(await tierOf({ [REGISTRY]: origin }, options));
  const start = () => tier.fetches.start(tier.client(), rightsAt(here), digest);
  return {
    ...tier,
    origin,
    start,
    async read(from = 0, to = bytes.length): Promise<Buffer> {
      const fetch = start();
      await fetch.opened();
      await using content = await fetch.follow();
      return await bytesOf(content, from, to);
    },
    [Symbol.asyncDispose]: () => stack[Symbol.asyncDispose](),
  };
}

describe('content that the store has no room for', () => {
  test('is passed through to all who ask, is not kept, and is told of once', async () => {
    await using it = await fetchesOf();
    const all = await Promise.all([it.read(), it.read(), it.read()]);
    expect(all.map((each) => each.equals(bytes))).toEqual([true, true, true]);
    expect(it.notKept).toMatchObject([{ code: 'UNAVAILABLE' }]);
    expect([await it.store.stat(digest), it.store.usage.bytes, await it.records.hasFrom(REGISTRY, digest)]).toEqual([
      undefined,
      0,
      false,
    ]);
  });

  test('is passed through in ranges, each asked for as it is', async () => {
    await using it = await fetchesOf();
    const part = await it.read(MIB, 2 * MIB);
    expect(part.equals(bytes.subarray(MIB, 2 * MIB))).toBe(true);
    expect(it.origin.requests.at(-1)?.range).toBe(`bytes=${MIB}-${2 * MIB - 1}`);
  });

  test.each<[string, Moods]>([
    ['breaks each connection off', { truncateAt: 3 * MIB }],
    ['knows no ranges', { ranges: false }],
  ])('arrives whole from an origin that %s', async (_name, mood) => {
    await using it = await fetchesOf(mood);
    expect((await it.read()).equals(bytes)).toBe(true);
    expect((await it.read(5 * MIB)).equals(bytes.subarray(5 * MIB))).toBe(true);
  });

  test('is read to its end in cuts when somebody has read it whole', async () => {
    await using it = await fetchesOf();
    await it.read();
    const before = it.received.bytes;
    expect((await it.read(8 * MIB)).equals(bytes.subarray(8 * MIB))).toBe(true);
    expect(it.received.bytes - before).toBe(5);
  });

  test('is read whole once for all who read its end only', async () => {
    await using it = await fetchesOf();
    const ends = await Promise.all([8 * MIB, 8 * MIB + 1, 8 * MIB + 2].map((from) => it.read(from)));
    expect(Buffer.concat(ends).equals(Buffer.concat([0, 1, 2].map((at) => bytes.subarray(8 * MIB + at))))).toBe(true);
    const whole = it.origin.requests.filter(({ range }) => range === `bytes=0-${bytes.length - 1}`);
    expect(whole).toHaveLength(1);
  });

  test('is read to its end by who verify it first, over the only connection there may be', async () => {
    await using it = await fetchesOf({}, { ...SMALL, entry: { maxConnections: 1 } });
    const ends = await Promise.all([8 * MIB, 8 * MIB + 1].map((from) => it.read(from)));
    expect(ends.map(({ length }) => length)).toEqual([5, 4]);
  });

  test.each([0, 8 * MIB])('is never read to its end from %i on when its bytes are wrong', async (from) => {
    await using it = await fetchesOf({ lie: 10 });
    const fetch = it.start();
    await fetch.opened();
    await using content = await fetch.follow();
    const received: number[] = [];
    const reading = (async () => {
      const options = { signal: new AbortController().signal };
      for await (const chunk of content.chunks({ start: from, end: bytes.length }, options)) {
        received.push(chunk.bytes.length);
        chunk.release();
      }
    })();
    expect((await failureOf(reading)).code).toBe('CORRUPT');
    expect(received.reduce((sum, each) => sum + each, 0)).toBe(bytes.length - from - 1);
    expect(() => it.fetches.assertTrusted(REGISTRY, digest)).toThrow('other bytes');
    expect(it.ended).toMatchObject([{ error: { code: 'CORRUPT' } }]);
  });

  test('is forgotten when nobody wants it any more, and is kept the next time if there is room', async () => {
    await using it = await fetchesOf({}, { capacityBytes: bytes.length, lingerMs: 50 });
    const other = generatedBlob(MIB, 2);
    await it.store.put(await other.digest(), readBytes(other));
    {
      await using inUse = await it.store.open(await other.digest());
      expect((await it.read()).equals(bytes)).toBe(true);
      expect([inUse?.sizeBytes, await it.store.stat(digest)]).toEqual([MIB, undefined]);
    }
    await expect.poll(() => [it.fetches.count, it.ended]).toEqual([0, []]);
    expect((await it.read()).equals(bytes)).toBe(true);
    await expect.poll(() => it.records.hasFrom(REGISTRY, digest)).toBe(true);
  });

  test('ends with the tier, whoever waits', async () => {
    const it = await fetchesOf({ stallAt: MIB });
    const readings = [failureOf(it.read(0)), failureOf(it.read(8 * MIB))];
    await it.origin.arrived({ kind: 'blob' }, 4);
    await it.fetches[Symbol.asyncDispose]();
    expect(it.fetches.count).toBe(0);
    await it[Symbol.asyncDispose](); // the clients, too
    expect((await Promise.all(readings)).map(({ code }) => code)).toEqual(['UNAVAILABLE', 'UNAVAILABLE']);
  });
});

describe('content whose storage fails in the middle', () => {
  test('breaks off for who reads along, and is passed through to who asks again', async () => {
    await using it = await fetchesOf({ bytesPerSecondPerConnection: 16 * MIB }, {});
    const fetch = it.start();
    await fetch.opened();
    await using content = await fetch.follow();
    const { blobs } = it.store.layout;
    await rename(blobs, `${blobs}.away`);
    await writeFile(blobs, ''); // a commit will fail
    expect((await bytesOf(content)).equals(bytes)).toBe(true); // its bytes are right all the same
    await expect.poll(() => it.notKept).toMatchObject([{ message: 'content cannot be stored' }]);
    expect((await it.read()).equals(bytes)).toBe(true);
    await rm(blobs);
    await rename(`${blobs}.away`, blobs);
    expect([await it.store.stat(digest), it.ended]).toEqual([undefined, []]);
  });
});
