import { once } from 'node:events';
import { connect } from 'node:net';
import { describe, expect, test } from 'vitest';
import { generatedBlob } from '../support/blobs.ts';
import { parallelDownload } from '../support/house-client.ts';
import { REGISTRY, startHouse } from '../support/house.ts';

const MIB = 1024 * 1024;

describe('many clients', () => {
  test('of one cold blob cost the origin its bytes once, and all are served right', async () => {
    await using house = await startHouse();
    const blob = generatedBlob(4 * MIB);
    const { digest } = await house.origin.addBlob('org/app', blob);
    const all = await Promise.all(Array.from({ length: 64 }, () => house.blob('org/app', digest)));
    for (const got of all) expect(got).toMatchObject({ status: 200, isWhole: true, digest });
    expect(house.origin.count({ kind: 'blob', method: 'GET', digest })).toBe(1);
    expect(house.origin.bodyBytes(digest)).toBe(blob.sizeBytes);
  });

  test('of one cold image cost the origin each of its bytes once', async () => {
    await using house = await startHouse();
    const layers = [1, 2, 3].map((seed) => generatedBlob(MIB, seed));
    const image = await house.origin.addImage('org/app', 'v1', { layers });
    await Promise.all(Array.from({ length: 16 }, () => house.pull('org/app', 'v1')));
    for (const { digest, sizeBytes } of [...image.layers, image.config]) {
      expect(house.origin.bodyBytes(digest)).toBe(sizeBytes);
    }
    expect(house.origin.count({ kind: 'manifest', method: 'GET' })).toBe(1);
  });

  test('that hang up take nothing away from the others', async () => {
    await using house = await startHouse();
    const { digest } = await house.origin.addBlob('org/app', generatedBlob(8 * MIB));
    house.origin.when({ kind: 'blob' }, { bytesPerSecondPerConnection: 16 * MIB });
    const leaving = Array.from({ length: 8 }, (_, index) =>
      house.blob('org/app', digest, { enough: index * 1000 + 1 }),
    );
    const staying = [1, 2].map(() => house.blob('org/app', digest));
    for (const got of await Promise.all(staying)) expect(got).toMatchObject({ isWhole: true, digest });
    await Promise.all(leaving);
    expect(house.origin.count({ kind: 'blob', method: 'GET' })).toBe(1);
  });

  test('do not wait for those that stopped reading', async () => {
    await using house = await startHouse({ agent: { CIRC_AGENT_ADMIT: 'always' } });
    const { digest } = await house.origin.addBlob('org/app', generatedBlob(24 * MIB));
    const url = new URL(house.url('blobs', 'org/app', digest));
    const stopped = Array.from({ length: 80 }, () => {
      const socket = connect(Number(url.port), url.hostname);
      socket.write(`GET ${url.pathname}${url.search} HTTP/1.1\r\nhost: x\r\n\r\n`);
      return socket;
    });
    // They get their headers and the first bytes, and then take no more.
    await Promise.all(stopped.map((socket) => once(socket, 'readable')));
    const all = await Promise.all([1, 2, 3].map(() => house.blob('org/app', digest)));
    for (const got of all) expect(got).toMatchObject({ status: 200, isWhole: true, digest });
    for (const socket of stopped) socket.destroy();
  });

  test('in parallel ranges of a cold 140 MB blob put it together right, and the origin sends each byte once', async () => {
    await using house = await startHouse();
    const blob = generatedBlob(140_000_000);
    const { digest } = await house.origin.addBlob('org/app', blob);
    const url = house.url('blobs', 'org/app', digest);
    expect(await parallelDownload(url, blob.sizeBytes, 16 * MIB)).toBe(digest);
    expect((await house.tierMetrics()).sum('circ_origin_bytes_total', { origin: REGISTRY })).toBe(blob.sizeBytes);
  }, 60_000);

  test('in parallel ranges count as one request each pull: the second one makes the node keep the blob', async () => {
    await using house = await startHouse();
    const blob = generatedBlob(8 * MIB + 1);
    const { digest } = await house.origin.addBlob('org/app', blob);
    const url = house.url('blobs', 'org/app', digest);
    expect(await parallelDownload(url, blob.sizeBytes, MIB)).toBe(digest);
    expect(await house.stored('agent')).toEqual([]);
    expect(await parallelDownload(url, blob.sizeBytes, MIB)).toBe(digest);
    await expect.poll(() => house.stored('agent'), { timeout: 10_000 }).toEqual([digest]);
    expect(await parallelDownload(url, blob.sizeBytes, MIB)).toBe(digest);
    await expect.poll(() => house.answered('node-hit')).toBeGreaterThanOrEqual(9);
  });

  test('that pull more than the caches can hold are all served right', async () => {
    await using house = await startHouse({
      agent: { CIRC_AGENT_ADMIT: 'always', CIRC_AGENT_CACHE_SIZE: `${6 * MIB}` },
      tier: { CIRC_TIER_STORE_SIZE: `${16 * MIB}` },
    });
    const layers = Array.from({ length: 12 }, (_, seed) => generatedBlob(2 * MIB, seed));
    const digests = await Promise.all(
      layers.map(async (layer) => (await house.origin.addBlob('org/app', layer)).digest),
    );
    for (let round = 0; round < 6; round += 1) {
      const some = digests.slice((round % 3) * 4, (round % 3) * 4 + 4);
      const pulls = [...some, ...some].map((digest, index) => house.blob('org/app', digest, { pauseMs: index % 2 }));
      const all = await Promise.all(pulls);
      all.forEach((got, index) => expect(got).toMatchObject({ status: 200, isWhole: true, digest: some[index % 4] }));
    }
    const [agent, tier] = [await house.agentMetrics(), await house.tierMetrics()];
    expect(agent.sum('circ_evictions_total', { reason: 'size' })).toBeGreaterThan(0);
    expect(tier.sum('circ_evictions_total', { reason: 'size' })).toBeGreaterThan(0);
    expect(agent.sum('circ_store_bytes')).toBeLessThanOrEqual(6 * MIB);
    expect(tier.sum('circ_store_bytes')).toBeLessThanOrEqual(16 * MIB);
  });
});
