import { describe, expect, test } from 'vitest';
import { get } from '../../scripts/lab/http.ts';
import { images } from '../../scripts/lab/images.ts';
import { AGENT_URL, type Lab, REGISTRY } from '../../scripts/lab/lab.ts';
import { expectComplete, openLab, pullFresh } from './support.ts';

describe('a node whose cache is away pulls from the origin itself', () => {
  test('when the agent is stopped', async () => {
    await using lab = await openLab();
    await lab.allowFallThrough();
    const blobs = await lab.blobs(images.debian);
    await lab.agent.daemon.stop();
    await pullFresh(lab, images.debian);
    await expectComplete(lab, images.debian, blobs);
    expect(await blobReaders(lab)).toEqual(new Set([lab.node.address]));
  });

  test('when the shared tier is stopped, which the agent says at once', async () => {
    await using lab = await openLab();
    await lab.allowFallThrough();
    const blobs = await lab.blobs(images.debian);
    await lab.tier.daemon.stop();
    const answer = await askAgent(lab);
    expect(answer.status).toBe(503);
    expect(answer.durationMs).toBeLessThan(1000);
    await pullFresh(lab, images.debian);
    await expectComplete(lab, images.debian, blobs);
    expect(await blobReaders(lab)).toEqual(new Set([lab.node.address]));
  });
});

test('a shared tier killed in the middle of a pull breaks neither that pull nor the next ones', async () => {
  await using lab = await openLab();
  await lab.allowFallThrough();
  const blobs = await lab.blobs(images.big);
  // The layer takes ten seconds like this, so the tier certainly dies with a part of it.
  await lab.network.limitUplink(lab.originNode, 1000);
  const pull = lab.containerd.pull(`${REGISTRY}/${images.big}`);
  const enough = 100 * 1024 * 1024;
  await lab.tier.daemon.until('fetching', async () => {
    return (await lab.tier.metrics()).sum('circ_origin_bytes_total') > enough;
  });
  await lab.tier.daemon.stop('SIGKILL');
  await lab.network.limitUplink(lab.originNode, undefined);
  await pull;
  await expectComplete(lab, images.big, blobs);
  expect(await blobReaders(lab)).toContain(lab.node.address);

  await using tier = await lab.restartTier();
  await expect.poll(async () => (await askAgent(lab)).status, { timeout: 20_000 }).toBe(200);
  await pullFresh(lab, images.big);
  await expectComplete(lab, images.big, blobs);
  expect((await tier.metrics()).sum('circ_origin_bytes_total')).toBeGreaterThan(enough);

  const before = (await lab.origin.blobReads()).length;
  await pullFresh(lab, images.big);
  await expectComplete(lab, images.big, blobs);
  expect((await lab.origin.blobReads()).length).toBe(before);
});

async function askAgent(lab: Lab): Promise<{ status: number; durationMs: number }> {
  const path = images.debian.replace(':', '/manifests/');
  return await get(lab.node, `${AGENT_URL}/v2/${path}?ns=${REGISTRY}`, 'application/vnd.oci.image.manifest.v1+json');
}

/** Addresses that have read blobs from the origin. */
async function blobReaders(lab: Lab): Promise<Set<string>> {
  return new Set((await lab.origin.blobReads()).map(({ client }) => client));
}
