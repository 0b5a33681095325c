import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { digestOf } from '../../oci/digest.ts';
import { generatedBlob } from '../support/blobs.ts';
import { REGISTRY, startHouse } from '../support/house.ts';
import { PushClient } from '../support/house-push.ts';
import { ask } from '../support/origin-client.ts';
import { s3Server } from '../support/s3-server.ts';
import { tmpDir } from '../support/tmp-dir.ts';

const MIB = 1024 * 1024;
const APP = 'org/app';
const BLOBS = /\/v1\/blobs\//;
const LAYERS = [generatedBlob(20 * MIB, 1), generatedBlob(100_000, 2)];

/** A house whose tier keeps its content in a bucket, with one image at the origin. */
async function houseOnBucket(options: { tier?: Record<string, string>; agent?: Record<string, string> } = {}) {
  const stack = new AsyncDisposableStack();
  const server = stack.use(await s3Server());
  const directory = stack.use(await tmpDir());
  const spool = join(directory.path, 'spool');
  const house = stack.use(
    await startHouse({
      agent: { CIRC_AGENT_ADMIT: 'never', ...options.agent },
      tier: { ...server.env, CIRC_TIER_SPOOL_DIR: spool, ...options.tier },
    }),
  );
  await house.origin.addImage(APP, 'v1', { layers: LAYERS });
  return {
    house,
    server,
    /** The tier's next life on another machine. */
    async loseSpool(): Promise<void> {
      await house.stopTier();
      await rm(spool, { recursive: true });
      await house.startTier();
      await house.restartAgent(); // it would look again only after a few seconds
    },
    blobs: () => server.bucket.keys().filter((key) => BLOBS.test(key)),
    settled: () =>
      expect.poll(async () => (await house.tierMetrics()).sum('circ_fetches_in_flight'), { timeout: 10_000 }).toBe(0),
    [Symbol.asyncDispose]: () => stack.disposeAsync(),
  };
}

describe('a tier with a bucket', () => {
  test('has everything in the bucket after a pull, and fetches nothing again with an empty spool', async () => {
    await using it = await houseOnBucket();
    const first = await it.house.pull(APP, 'v1');
    await it.settled();
    expect(it.blobs()).toHaveLength(4); // manifest, config, two layers
    const gets = it.house.origin.count({ method: 'GET' });

    await it.loseSpool();

    expect(await it.house.pull(APP, 'v1')).toMatchObject({ bytes: first.bytes });
    expect(it.house.origin.count({ method: 'GET' })).toBe(gets);
  });

  test('has what was pushed in the bucket when the push is answered', async () => {
    await using it = await houseOnBucket();
    const pusher = new PushClient({ url: it.house.tierUrl, repository: APP, ns: REGISTRY });
    const { digest, blobs } = await pusher.image('pushed', LAYERS);
    const stored = it.blobs().map((key) => `sha256:${key.split('/').at(-1)}`);
    expect(new Set(stored)).toEqual(new Set([digest, ...blobs]));

    await it.loseSpool();

    await it.house.pull(APP, 'pushed');
    expect(it.house.origin.count({ method: 'GET', kind: 'blob' })).toBe(0);
    expect(it.house.origin.count({ method: 'GET', kind: 'manifest' })).toBe(0);
  });

  test('sends parts up while the origin still sends, and readers do not wait for the bucket', async () => {
    await using it = await houseOnBucket();
    const blob = generatedBlob(40 * MIB, 7);
    const { digest } = await it.house.origin.addBlob(APP, blob);
    it.house.origin.when({ kind: 'blob', method: 'GET' }, { bytesPerSecondPerConnection: 20 * MIB });
    it.server.moods.push({ method: 'POST', key: /blobs/, slowMs: 200 });
    const pulled = it.house.blob(APP, digest);
    await expect
      .poll(() => [...it.server.bucket.uploads.values()].some(({ parts }) => parts.size > 0), { timeout: 10_000 })
      .toBe(true);
    const arrived = it.house.origin.bodyBytes(digest);
    expect(await pulled).toMatchObject({ digest, isWhole: true });
    expect(arrived).toBeLessThan(blob.sizeBytes);
    await it.settled();
    expect(it.house.origin.bodyBytes(digest)).toBe(blob.sizeBytes);
    expect(it.server.bucket.uploads.size).toBe(0);
  });

  test('serves on when the bucket takes nothing, once from the origin', async () => {
    await using it = await houseOnBucket();
    it.server.moods.push(
      { method: 'PUT', error: [403, 'AccessDenied'] },
      { method: 'POST', error: [403, 'AccessDenied'] },
    );
    const first = await it.house.pull(APP, 'v1');
    await it.settled();
    const gets = it.house.origin.count({ method: 'GET', kind: 'blob' });
    expect(await it.house.pull(APP, 'v1')).toMatchObject({ bytes: first.bytes });
    expect(it.house.origin.count({ method: 'GET', kind: 'blob' })).toBe(gets);
    expect((await it.house.tierMetrics()).sum('circ_store_errors_total')).toBeGreaterThan(0);
    expect(it.blobs()).toEqual([]);
  });

  test('serves on when the bucket is away: from the spool, and the rest from the origin', async () => {
    await using it = await houseOnBucket();
    const first = await it.house.pull(APP, 'v1');
    await it.settled();
    await it.server.down();
    expect(await it.house.pull(APP, 'v1')).toMatchObject({ bytes: first.bytes });
    await it.house.origin.addImage(APP, 'v2', { layers: [generatedBlob(MIB, 3)] });
    await it.house.pull(APP, 'v2');
    const told = it.house.log.filter(({ msg }) => msg === 'the store does not take or give something; serving goes on');
    expect(told.length).toBeGreaterThan(0);
    expect(told.length).toBeLessThanOrEqual(4);
  });

  test('fetches again what only a bucket has that says nothing, soon, and counts it', async () => {
    await using it = await houseOnBucket();
    const first = await it.house.pull(APP, 'v1');
    await it.settled();
    await it.loseSpool();
    it.server.moods.push({ silent: true });
    const startedAtMs = performance.now();
    expect(await it.house.pull(APP, 'v1')).toMatchObject({ bytes: first.bytes });
    // Sooner than containerd would give the pull up, on a busy machine too.
    expect(performance.now() - startedAtMs).toBeLessThan(25_000);
    const metrics = await it.house.tierMetrics();
    expect(metrics.sum('circ_fetch_duplicates_total')).toBeGreaterThanOrEqual(LAYERS.length);
    it.server.moods.splice(0);
  }, 60_000);

  test('does not start, and says why, on a bucket that is not there', async () => {
    await using it = await houseOnBucket();
    await it.house.stopTier();
    it.server.moods.push({ error: [404, 'NoSuchBucket'] });
    await expect(it.house.startTier()).rejects.toMatchObject({ code: 'UNAVAILABLE' });
  });

  test.each([
    ['true', true],
    ['false', false],
  ])('sends redirected clients on to the bucket if CIRC_S3_PRESIGN=%s', async (CIRC_S3_PRESIGN, isSentOn) => {
    await using it = await houseOnBucket({ tier: { CIRC_S3_PRESIGN }, agent: { CIRC_AGENT_DELIVERY: 'redirect' } });
    const { digest } = await it.house.origin.addBlob(APP, generatedBlob(MIB, 5));
    await it.house.blob(APP, digest);
    await it.settled();
    const { headers } = await ask(it.house.url('blobs', APP, digest));
    const atTier = await ask(String(headers.location));
    expect(atTier.status).toBe(isSentOn ? 307 : 200);
    const answer = isSentOn ? await ask(String(atTier.headers.location)) : atTier;
    expect(digestOf(answer.body)).toBe(digest);
    expect(String(atTier.headers.location).startsWith(it.server.url)).toBe(isSentOn);
    // The agent itself reads through the tier, whatever clients do.
    const relayed = await ask(String(headers.location).replace('?follow', ''));
    expect([relayed.status, digestOf(relayed.body)]).toEqual([200, digest]);
  });
});
