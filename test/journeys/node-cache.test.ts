import { open, rename, rm, writeFile } from 'node:fs/promises';
import { describe, expect, test } from 'vitest';
import { Layout } from '../../content/layout.ts';
import type { Digest } from '../../oci/digest.ts';
import { generatedBlob } from '../support/blobs.ts';
import { type House, startHouse } from '../support/house.ts';

const MIB = 1024 * 1024;
const ALWAYS = { CIRC_AGENT_ADMIT: 'always' };
const APP = 'org/app';

/** A house whose node has these blobs. */
async function houseWith(count: number, agent: Record<string, string> = {}) {
  const house = await startHouse({ agent: { ...ALWAYS, ...agent } });
  const digests: Digest[] = [];
  for (let seed = 0; seed < count; seed += 1) {
    const { digest } = await house.origin.addBlob(APP, generatedBlob(MIB, seed));
    await house.blob(APP, digest);
    await expect.poll(() => house.stored('agent')).toContain(digest);
    digests.push(digest);
  }
  return { house, digests, [Symbol.asyncDispose]: () => house[Symbol.asyncDispose]() };
}

/** Lines that call for somebody's attention. */
function warnings(house: House): Record<string, unknown>[] {
  return house.log.filter(({ part, level }) => part === 'agent' && Number(level) >= 40);
}

describe('while the node’s disk', () => {
  test('takes nothing in, everything is served, what is there from there; it is counted, and one line is logged', async () => {
    await using it = await houseWith(1);
    const { house, digests } = it;
    const { ingests } = new Layout(house.agentDirectory);
    await rename(ingests, `${ingests}.away`);
    await writeFile(ingests, '');
    for (let seed = 10; seed < 14; seed += 1) {
      const { digest } = await house.origin.addBlob(APP, generatedBlob(MIB, seed));
      expect(await house.blob(APP, digest)).toMatchObject({ status: 200, digest, isWhole: true });
    }
    const hits = await house.answered('node-hit');
    expect(await house.blob(APP, digests[0] ?? '')).toMatchObject({ status: 200, digest: digests[0], isWhole: true });
    await expect.poll(() => house.answered('node-hit')).toBe(hits + 1);
    expect((await house.agentMetrics()).sum('circ_fills_failed_total')).toBe(4);
    expect(warnings(house)).toMatchObject([{ msg: 'not kept on this node', times: 1 }]);
    await rm(ingests);
    await rename(`${ingests}.away`, ingests);
  });

  test('cannot be read, the tier serves; it is counted, one line is logged, and the disk serves when it is back', async () => {
    await using it = await houseWith(1);
    const { house, digests } = it;
    const [digest = ''] = digests;
    const { blobs } = new Layout(house.agentDirectory);
    await rename(blobs, `${blobs}.away`);
    await writeFile(blobs, '');
    const hits = await house.answered('node-hit');
    for (let round = 0; round < 3; round += 1) {
      expect(await house.blob(APP, digest)).toMatchObject({ status: 200, digest, isWhole: true });
    }
    expect(await house.answered('node-hit')).toBe(hits);
    expect((await house.agentMetrics()).sum('circ_store_errors_total')).toBeGreaterThanOrEqual(3);
    const lines = warnings(house).filter(({ msg }) => msg === 'the node cache cannot be used; serving goes on');
    expect(lines).toHaveLength(1);
    await rm(blobs);
    await rename(`${blobs}.away`, blobs);
    expect(await house.blob(APP, digest)).toMatchObject({ status: 200, digest, isWhole: true });
    await expect.poll(() => house.answered('node-hit')).toBe(hits + 1);
  });
});

test('a byte that has changed on the node’s disk reaches nobody in a whole body, and the next one gets the right one', async () => {
  await using it = await houseWith(1);
  const { house, digests } = it;
  const [digest = '' as Digest] = digests;
  for (const restart of [false, true]) {
    {
      await using file = await open(new Layout(house.agentDirectory).blob(digest), 'r+');
      await file.write(Buffer.from('rot'), 0, 3, MIB / 2);
    }
    if (restart) await house.restartAgent();
    expect(await house.blob(APP, digest)).toMatchObject({ status: 200, isWhole: false });
    expect(await house.blob(APP, digest)).toMatchObject({ status: 200, digest, isWhole: true });
    await expect.poll(() => house.stored('agent')).toEqual([digest]);
    expect((await house.agentMetrics()).sum('circ_evictions_total', { reason: 'damaged' })).toBe(1);
    await house.restartAgent();
  }
});

test('many readers of more blobs than there is room for all get the right bytes, and the bound holds', async () => {
  await using it = await houseWith(2, { CIRC_AGENT_CACHE_SIZE: '3MiB' });
  const { house } = it;
  const all = await Promise.all(
    Array.from({ length: 8 }, (_, seed) => house.origin.addBlob(APP, generatedBlob(MIB, seed))),
  );
  let most = 0;
  for (let round = 0; round < 4; round += 1) {
    const readers = [...all, ...all, ...all].map(async ({ digest }, index) => {
      const got = await house.blob(APP, digest, index % 3 === 0 ? { pauseMs: 1 } : {});
      expect(got).toMatchObject({ status: 200, digest, isWhole: true });
      most = Math.max(most, (await house.agentMetrics()).sum('circ_store_bytes'));
    });
    await Promise.all(readers);
  }
  expect(most).toBeGreaterThan(0);
  expect(most).toBeLessThanOrEqual(3 * MIB);
  expect((await house.agentMetrics()).sum('circ_evictions_total', { reason: 'size' })).toBeGreaterThan(0);
});

test('what was used last before a restart is what is kept after it', async () => {
  await using it = await houseWith(3, { CIRC_AGENT_CACHE_SIZE: '3MiB' });
  const { house, digests } = it;
  const [first = '', second = '', third = ''] = digests;
  await house.restartAgent();
  const { digest } = await house.origin.addBlob(APP, generatedBlob(MIB, 9));
  await house.blob(APP, digest);
  await expect.poll(() => house.stored('agent')).toContain(digest);
  expect(await house.stored('agent')).not.toContain(first);
  expect(await house.stored('agent')).toEqual(expect.arrayContaining([second, third]));
});
