import { expect, test } from 'vitest';
import { get } from '../../scripts/lab/http.ts';
import { images } from '../../scripts/lab/images.ts';
import { AGENT_URL, type Lab, REGISTRY } from '../../scripts/lab/lab.ts';
import { bytesFromOrigin, expectComplete, openLab, pullFresh, totalSize } from './support.ts';

// The node keeps nothing, so what the tier has is never on its disk.
const agentEnv = { CIRC_AGENT_DELIVERY: 'redirect', CIRC_AGENT_ADMIT: 'never' };

async function askForBlob(lab: Lab, digest: string): Promise<number> {
  return (await get(lab.node, `${AGENT_URL}/v2/org/debian/blobs/${digest}?ns=${REGISTRY}`)).status;
}

async function servedByAgent(lab: Lab): Promise<number> {
  return (await lab.agent.metrics()).sum('circ_served_bytes_total');
}

test('containerd follows the agent’s redirects and reads the layers from the shared tier itself', async () => {
  await using lab = await openLab({ agentEnv });
  const blobs = await lab.blobs(images.debian);
  await pullFresh(lab, images.debian); // through the agent: it arrives only now
  const cold = await servedByAgent(lab);
  expect(cold).toBeGreaterThanOrEqual(totalSize(blobs));
  await pullFresh(lab, images.debian); // one layer is sent ahead, the others go through the agent until it has arrived
  await expectComplete(lab, images.debian, blobs);

  const [agent, tier] = [await servedByAgent(lab), (await lab.tier.metrics()).sum('circ_read_bytes_total')];
  await pullFresh(lab, images.debian);
  await expectComplete(lab, images.debian, blobs);

  expect((await servedByAgent(lab)) - agent).toBeLessThan(100_000); // manifests
  expect((await lab.tier.metrics()).sum('circ_read_bytes_total') - tier).toBeGreaterThanOrEqual(totalSize(blobs));
  expect((await lab.agent.metrics()).sum('circ_redirects_switched_off_total')).toBe(0);
  for (const { digest, size } of blobs) expect(await bytesFromOrigin(lab, digest)).toBe(size);
});

test('a node whose clients do not come to the shared tier gets everything through the agent again', async () => {
  await using lab = await openLab({ agentEnv });
  const blobs = await lab.blobs(images.debian);
  await pullFresh(lab, images.debian);
  expect(await askForBlob(lab, blobs[0]?.digest ?? '')).toBe(307); // curl does not follow
  await expect
    .poll(async () => (await lab.agent.metrics()).sum('circ_redirects_switched_off_total'), { timeout: 15_000 })
    .toBe(1);
  const before = await servedByAgent(lab);
  await pullFresh(lab, images.debian);
  await expectComplete(lab, images.debian, blobs);
  expect((await servedByAgent(lab)) - before).toBeGreaterThanOrEqual(totalSize(blobs));
});
