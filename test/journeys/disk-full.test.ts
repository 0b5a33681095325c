import { readdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { generatedBlob } from '../support/blobs.ts';
import { download, pull, urlOf } from '../support/house-client.ts';
import { scrape } from '../support/house-metrics.ts';
import { Program } from '../support/house-process.ts';
import { REGISTRY, originsFile, startHouse } from '../support/house.ts';
import { startOrigin } from '../support/origin.ts';
import { tmpDir } from '../support/tmp-dir.ts';

const MIB = 1024 * 1024;
const SIZE = 8 * MIB;

describe('a blob that the shared tier has no room for', () => {
  const small = { agent: { CIRC_AGENT_ADMIT: 'always' }, tier: { CIRC_TIER_STORE_SIZE: '1MiB' } };

  test('comes whole through tier and agent, is kept where there is room, and is counted and logged once', async () => {
    await using house = await startHouse(small);
    const { digest } = await house.origin.addBlob('org/app', generatedBlob(SIZE));
    expect(await house.blob('org/app', digest)).toMatchObject({ status: 200, digest, isWhole: true });
    await expect.poll(() => house.stored('agent')).toEqual([digest]);
    expect(await house.blob('org/app', digest)).toMatchObject({ status: 200, digest, isWhole: true });
    expect(await house.stored('tier')).toEqual([]);
    expect(await house.ingests()).toBe(0);
    // What the tier has no room for comes from the node's own disk the second time.
    await expect.poll(() => house.answered('node-hit')).toBe(1);
    expect((await house.tierMetrics()).sum('circ_store_errors_total')).toBe(1);
    const lines = house.log.filter(({ part, level }) => part === 'tier' && Number(level) >= 40);
    expect(lines).toMatchObject([{ reason: 'there is no room to store content of this size', digest }]);
  });

  test('can be resumed, and read in cuts, by who asks the tier itself too', async () => {
    await using house = await startHouse({ ...small, agent: { CIRC_AGENT_ADMIT: 'never' } });
    const { digest } = await house.origin.addBlob('org/app', generatedBlob(SIZE));
    const headers = { range: `bytes=${5 * MIB}-` };
    const direct = `${house.tierUrl}/v2/org/app/blobs/${digest}?ns=${REGISTRY}`;
    for (const url of [house.url('blobs', 'org/app', digest), direct]) {
      expect(await download(url, { enough: MIB })).toMatchObject({ status: 200, bytes: MIB });
      expect(await download(url, { headers })).toMatchObject({ status: 206, bytes: 3 * MIB, isWhole: true });
      expect(await download(url)).toMatchObject({ status: 200, digest, isWhole: true });
    }
  });

  test('is never received whole and wrong, and is not asked for again at once', async () => {
    await using house = await startHouse(small);
    const { digest } = await house.origin.addBlob('org/app', generatedBlob(SIZE));
    house.origin.mood = { lie: true };
    const direct = `${house.tierUrl}/v2/org/app/blobs/${digest}?ns=${REGISTRY}`;
    for (const got of await Promise.all([house.blob('org/app', digest), download(direct)])) {
      expect(got).toMatchObject({ status: 200, isWhole: false });
    }
    const asked = house.origin.requests.length;
    expect(await house.blob('org/app', digest)).toMatchObject({ status: 503 });
    expect(house.origin.requests).toHaveLength(asked);
    expect(await house.stored('agent')).toEqual([]);
  });
});

test('when the disks take no more bytes in the middle of a blob, every pull is right, and the store stays clean', async () => {
  await using directory = await tmpDir();
  await using origin = await startOrigin();
  const small = generatedBlob(MIB, 1);
  const { layers } = await origin.addImage('org/app', 'v1', { layers: [small, generatedBlob(SIZE, 2)] });
  const origins = join(directory.path, 'origins.yaml');
  await writeFile(origins, originsFile({ [REGISTRY]: origin }));
  const names = ['AGENT_LISTEN', 'AGENT_STATUS_LISTEN', 'TIER_GRPC_LISTEN', 'TIER_HTTP_LISTEN', 'TIER_STATUS_LISTEN'];
  await using program = new Program('scripts/start.ts', {
    env: {
      ...Object.fromEntries(names.map((name) => [`CIRC_${name}`, '127.0.0.1:0'])),
      CIRC_AGENT_ADMIT: 'always',
      CIRC_AGENT_MIN_FREE: '0%',
      CIRC_ORIGINS: origins,
    },
    cwd: directory.path,
    maxFileBytes: 4 * MIB,
  });
  const mirror = await program.says(/mirror for containerd\s+(http:\S+)/);
  const status = await program.says(/its metrics\s+http:\/\/(\S+)\/metrics/);
  const options = { mirror, registry: REGISTRY, repository: 'org/app', reference: 'v1' };
  for (let round = 0; round < 3; round += 1) {
    expect(await pull(options)).toMatchObject({ bytes: expect.any(Number) as number });
    const url = urlOf(options, 'blobs', layers[1]?.digest ?? '');
    expect(await download(url)).toMatchObject({ status: 200, digest: layers[1]?.digest, isWhole: true });
  }
  expect((await scrape(status)).sum('circ_fills_failed_total')).toBeGreaterThan(0);
  for (const part of ['agent', 'tier']) {
    const root = join(directory.path, '.circ', part, 'v1');
    await expect.poll(() => readdir(join(root, 'ingest'))).toEqual([]);
    const files = await readdir(join(root, 'blobs'), { recursive: true, withFileTypes: true });
    const stored = files.filter((entry) => entry.isFile()).map(({ name }) => `sha256:${name}`);
    expect(stored).toContain(layers[0]?.digest);
    expect(stored).not.toContain(layers[1]?.digest);
  }
});
