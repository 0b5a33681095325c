import { describe, expect, test } from 'vitest';
import { images, platforms } from '../../scripts/lab/images.ts';
import { REGISTRY } from '../../scripts/lab/lab.ts';
import { bytesFromOrigin, digestsOf, expectComplete, openLab, pullFresh, totalSize, untilStored } from './support.ts';

describe('containerd pulls a Debian image', () => {
  test('the first pull brings the origin’s content, and each blob leaves the origin once', async () => {
    await using lab = await openLab();
    const blobs = await lab.blobs(images.debian);
    await pullFresh(lab, images.debian);
    await expectComplete(lab, images.debian, blobs);
    const reads = await lab.origin.blobReads();
    const digests = reads.map(({ path }) => path.slice(path.lastIndexOf('/') + 1));
    expect(digests.toSorted()).toEqual(digestsOf(blobs).toSorted());
    expect(reads.every(({ client }) => client === lab.network.hub.address)).toBe(true);
  });

  test('the second pull asks the origin for no blob', async () => {
    await using lab = await openLab();
    const blobs = await lab.blobs(images.debian);
    await pullFresh(lab, images.debian);
    const before = (await lab.origin.blobReads()).length;
    await pullFresh(lab, images.debian);
    await expectComplete(lab, images.debian, blobs);
    expect((await lab.origin.blobReads()).length).toBe(before);
    expect((await lab.agent.metrics()).sum('circ_requests_total', { outcome: 'tier-hit' })).toBeGreaterThan(0);
  });

  test('the third pull comes from the node’s disk', async () => {
    await using lab = await openLab();
    const blobs = await lab.blobs(images.debian);
    await pullFresh(lab, images.debian);
    await pullFresh(lab, images.debian);
    await untilStored(lab.agent, totalSize(blobs));
    const [agentBefore, tierBefore] = [await lab.agent.metrics(), await lab.tier.metrics()];
    await pullFresh(lab, images.debian);
    const [agent, tier] = [await lab.agent.metrics(), await lab.tier.metrics()];
    await expectComplete(lab, images.debian, blobs);
    const hit = { outcome: 'node-hit' };
    const hits = agent.sum('circ_requests_total', hit) - agentBefore.sum('circ_requests_total', hit);
    expect(hits).toBeGreaterThanOrEqual(blobs.length);
    const served = agent.sum('circ_served_bytes_total', hit) - agentBefore.sum('circ_served_bytes_total', hit);
    expect(served).toBeGreaterThanOrEqual(totalSize(blobs));
    // Manifests may still come from there.
    const fromTier = tier.sum('circ_served_bytes_total') - tierBefore.sum('circ_served_bytes_total');
    expect(fromTier).toBeLessThan(100_000);
  });
});

describe('containerd pulls an index of two platforms', () => {
  test('one platform leaves the other one’s layers at the origin', async () => {
    await using lab = await openLab();
    const [here, there] = await Promise.all(platforms.map(async (name) => await lab.blobs(images.multi, name)));
    await lab.containerd.pull(`${REGISTRY}/${images.multi}`, { platform: platforms[0] });
    await expectComplete(lab, images.multi, here ?? []);
    const common = new Set(digestsOf(here ?? []));
    const others = (there ?? []).slice(1).filter(({ digest }) => !common.has(digest));
    expect(others).not.toEqual([]);
    for (const { digest } of others) expect(await lab.origin.blobReads(digest)).toEqual([]);
  });

  test('all platforms come whole, and what they have in common leaves the origin once', async () => {
    await using lab = await openLab();
    const blobs = (await Promise.all(platforms.map(async (name) => await lab.blobs(images.multi, name)))).flat();
    await lab.containerd.pull(`${REGISTRY}/${images.multi}`, { allPlatforms: true });
    await expectComplete(lab, images.multi, blobs);
    for (const { digest, size } of blobs) expect(await bytesFromOrigin(lab, digest)).toBe(size);
  });
});

describe('containerd pulls a layer of more than 1 GiB', () => {
  test.each([
    { how: 'in one stream', options: {} },
    { how: 'in ranges at the same time', options: { parallelFetchBytes: 16 * 1024 * 1024 } },
  ])('$how, and each byte leaves the origin once', async ({ options }) => {
    await using lab = await openLab(options);
    const blobs = await lab.blobs(images.big);
    expect(Math.max(...blobs.map(({ size }) => size))).toBeGreaterThan(2 ** 30);
    await pullFresh(lab, images.big);
    await expectComplete(lab, images.big, blobs);
    for (const { digest, size } of blobs) expect(await bytesFromOrigin(lab, digest)).toBe(size);
  });
});
