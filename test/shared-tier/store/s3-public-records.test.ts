import { describe, expect, test } from 'vitest';
import { digestOf } from '../../../oci/digest.ts';
import { PublicPlaces } from '../../../shared-tier/access/public-places.ts';
import { S3PublicRecords } from '../../../shared-tier/store/s3-public-records.ts';
import { publicRecordsContract } from '../../contracts/public-records.ts';
import { takeClock } from '../../support/house-clock.ts';
import { APP, placeOf, refOf } from '../fixtures.ts';
import { s3Store } from './fixtures.ts';

const here = placeOf(APP);
const [one, two] = [digestOf(Buffer.from('one')), digestOf(Buffer.from('two'))] as const;
const MINUTE = 60_000;

async function bucket() {
  const it = await s3Store();
  const failures: unknown[] = [];
  const reopen = async () => new S3PublicRecords(it.bucket, (error) => failures.push(error));
  const place = async () => new PublicPlaces({ records: await reopen(), isEnabled: true });
  return { ...it, failures, reopen, place, [Symbol.asyncDispose]: () => it[Symbol.asyncDispose]() };
}

publicRecordsContract('a bucket', async () => {
  const it = await bucket();
  return { ...it, records: await it.reopen(), count: async () => it.server.bucket.keys('of/a/test/v1/public/').length };
});

describe('public repositories that several replicas know', () => {
  test('have all their tags, each as it was noted last, whoever writes at the same time', async () => {
    await using it = await bucket();
    const replicas = await Promise.all(Array.from({ length: 3 }, () => it.place()));
    replicas.forEach((each, index) => each.proved(here, refOf(`v${index}`), one));
    await Promise.all(replicas.map((each) => each.settled()));
    replicas[0]?.proved(here, refOf('v1'), two);
    await replicas[0]?.settled();
    const next = await it.place();
    expect(await next.has(here)).toBe(true);
    expect(['v0', 'v1', 'v2'].map((tag) => next.tag(here, tag))).toEqual([one, two, one]);
    expect(it.failures).toEqual([]);
  });

  test('are looked up once a minute, by those who are asked for them', async () => {
    using clock = takeClock();
    await using it = await bucket();
    const [asked, other] = [await it.place(), await it.place()];
    await Promise.all([asked.has(here), asked.has(here)]);
    const before = it.server.requests.length;
    other.proved(here, refOf('v1'), one);
    await other.settled();
    const written = it.server.requests.length;
    expect([await asked.has(here), it.server.requests.length]).toEqual([false, written]);
    await clock.forward(MINUTE + 1);
    expect([await asked.has(here), asked.tag(here, 'v1'), it.server.requests.length]).toEqual([true, one, written + 1]);
    expect(written - before).toBe(2); // what is there, and the write
  });

  test('stay known as they were, and keep nobody waiting, while the bucket is away', async () => {
    using clock = takeClock();
    await using it = await bucket();
    const places = await it.place();
    places.proved(here, refOf('v1'), one);
    await places.settled();
    await places.has(here);
    await it.server[Symbol.asyncDispose]();
    await clock.forward(MINUTE + 1);
    expect([await places.has(here), places.tag(here, 'v1')]).toEqual([true, one]);
  });

  test('keep the first one who asks waiting for a second, and the others not, while the bucket says nothing', async () => {
    await using it = await bucket();
    const places = await it.place();
    it.server.moods.push({ silent: true });
    const startedAt = performance.now();
    expect(await places.has(here)).toBe(false);
    const firstMs = performance.now() - startedAt;
    for (let asked = 0; asked < 10; asked += 1) await places.has(here);
    expect([firstMs > 900, performance.now() - startedAt - firstMs < 900]).toEqual([true, true]);
  });

  test('do not cost a write when another replica has written the same a short while ago', async () => {
    await using it = await bucket();
    const [first, second] = [await it.place(), await it.place()];
    first.proved(here, refOf('v1'), one);
    await first.settled();
    await second.has(here);
    const before = it.server.requests.length;
    second.proved(here, refOf('v1'), one);
    await second.settled();
    expect(it.server.requests).toHaveLength(before);
  });
});
