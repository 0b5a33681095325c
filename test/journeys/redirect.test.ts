import { describe, expect, test } from 'vitest';
import { digestOf } from '../../oci/digest.ts';
import { generatedBlob, readBytes } from '../support/blobs.ts';
import { download } from '../support/house-client.ts';
import { type House, startHouse } from '../support/house.ts';
import { ask } from '../support/origin-client.ts';

const MIB = 1024 * 1024;
const APP = 'org/app';
const BYTES = readBytes(generatedBlob(MIB));
const REDIRECT = { CIRC_AGENT_DELIVERY: 'redirect' };

/** A house that redirects, whose tier has the blob. */
async function warm(agent: Record<string, string> = { CIRC_AGENT_ADMIT: 'never' }) {
  const house = await startHouse({ agent: { ...REDIRECT, ...agent } });
  const { digest } = await house.origin.addBlob(APP, generatedBlob(MIB));
  expect(await house.blob(APP, digest)).toMatchObject({ status: 200, digest, isWhole: true });
  await expect.poll(() => house.stored('tier')).toEqual([digest]);
  await expect.poll(async () => (await house.tierMetrics()).sum('circ_fetches_in_flight')).toBe(0);
  return {
    house,
    digest,
    url: house.url('blobs', APP, digest),
    [Symbol.asyncDispose]: () => house[Symbol.asyncDispose](),
  };
}

async function lost(house: House): Promise<number> {
  return (await house.agentMetrics()).sum('circ_redirects_switched_off_total');
}

describe('a blob that the shared tier has', () => {
  test('is answered 307 to a read at the tier, with all bytes or a range of them', async () => {
    await using it = await warm();
    const answer = await ask(it.url);
    expect(answer).toMatchObject({
      status: 307,
      headers: { 'docker-content-digest': it.digest, 'content-length': '0' },
    });
    const location = String(answer.headers.location);
    expect(digestOf((await ask(location)).body)).toBe(it.digest);
    const part = await ask(location, { headers: { range: 'bytes=10-19' } });
    expect([part.status, part.body]).toEqual([206, BYTES.subarray(10, 20)]);
    await expect.poll(() => it.house.answered('tier-hit')).toBe(1);
  });

  test('is redirected for a range as well, and for one that there is not answered 416 at once', async () => {
    await using it = await warm();
    expect((await ask(it.url, { headers: { range: 'bytes=5-' } })).status).toBe(307);
    expect((await ask(it.url, { headers: { range: `bytes=${MIB}-` } })).status).toBe(416);
  });

  test('is redirected only for GET', async () => {
    await using it = await warm();
    expect(await ask(it.url, { method: 'HEAD' })).toMatchObject({
      status: 200,
      headers: { 'content-length': `${MIB}` },
    });
  });

  test('goes on being redirected while clients come to where they are sent', async () => {
    await using it = await warm();
    for (let round = 0; round < 3; round += 1) {
      const followed = async (): Promise<string> => {
        const response = await fetch(it.url); // follows
        return response.redirected ? digestOf(Buffer.from(await response.arrayBuffer())) : 'relayed';
      };
      await expect.poll(followed).toBe(it.digest);
    }
    expect(await lost(it.house)).toBe(0);
  });

  test('is relayed when a client did not come to where it was sent, which is counted and logged', async () => {
    await using it = await warm();
    expect((await ask(it.url)).status).toBe(307);
    await expect.poll(() => lost(it.house), { timeout: 12_000 }).toBe(1);
    expect(await download(it.url)).toMatchObject({ status: 200, digest: it.digest, isWhole: true });
    const lines = it.house.log.filter(({ msg }) => String(msg).startsWith('no client has come'));
    expect(lines).toMatchObject([{ part: 'agent', level: 40, target: it.house.tierUrl.replace('http://', '') }]);
  });

  test('comes from the node’s disk if that has it', async () => {
    await using it = await warm({ CIRC_AGENT_ADMIT: 'always' });
    await expect.poll(() => it.house.stored('agent')).toEqual([it.digest]);
    expect(await download(it.url)).toMatchObject({ status: 200, digest: it.digest, isWhole: true });
    await expect.poll(() => it.house.answered('node-hit')).toBe(1);
  });

  test('is copied to the node, and relayed meanwhile, when it is asked for again', async () => {
    await using it = await warm({ CIRC_AGENT_ADMIT: 'second-request' });
    expect(await download(it.url)).toMatchObject({ status: 200, digest: it.digest, isWhole: true });
    await expect.poll(() => it.house.stored('agent')).toEqual([it.digest]);
  });

  test('is not redirected unless that was asked for', async () => {
    await using it = await warm({ CIRC_AGENT_ADMIT: 'never', CIRC_AGENT_DELIVERY: 'relay' });
    expect((await ask(it.url)).status).toBe(200);
  });
});

test('a blob that is still arriving is relayed, and redirected when it is there', async () => {
  await using house = await startHouse({ agent: { ...REDIRECT, CIRC_AGENT_ADMIT: 'never' } });
  const { digest } = await house.origin.addBlob(APP, generatedBlob(MIB));
  house.origin.when({ kind: 'blob', method: 'GET' }, { bytesPerSecondPerConnection: 2 * MIB });
  const both = await Promise.all([house.blob(APP, digest), house.blob(APP, digest)]);
  for (const got of both) expect(got).toMatchObject({ status: 200, digest, isWhole: true });
  const again = async (): Promise<number> => (await ask(house.url('blobs', APP, digest))).status;
  await expect.poll(again).toBe(307);
});

test('a blob that the tier has no room for is relayed each time', async () => {
  await using house = await startHouse({
    agent: { ...REDIRECT, CIRC_AGENT_ADMIT: 'never' },
    tier: { CIRC_TIER_STORE_SIZE: '100KiB' },
  });
  const { digest } = await house.origin.addBlob(APP, generatedBlob(MIB));
  for (let round = 0; round < 2; round += 1) {
    expect(await house.blob(APP, digest)).toMatchObject({ status: 200, digest, isWhole: true });
  }
});
