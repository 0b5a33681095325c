import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { pino } from 'pino';
import { expect, test, vi } from 'vitest';
import { parseOriginsFile } from '../../service/origins-file.ts';
import { formatAddress } from '../../service/units.ts';
import { readTierConfig } from '../../shared-tier/config.ts';
import { startSharedTier } from '../../shared-tier/shared-tier.ts';
import { generatedBlob } from '../support/blobs.ts';
import { ask } from '../support/origin-client.ts';
import { startOrigin } from '../support/origin.ts';
import { tmpDir } from '../support/tmp-dir.ts';
import { APP, REGISTRY } from './fixtures.ts';

/** A tier on loopback over a directory. */
async function tierOver(directory: string, origin: { url: string }, storeBytes: number) {
  const anywhere = '127.0.0.1:0';
  const config = readTierConfig({
    CIRC_TIER_GRPC_LISTEN: anywhere,
    CIRC_TIER_HTTP_LISTEN: anywhere,
    CIRC_TIER_STATUS_LISTEN: anywhere,
    CIRC_TIER_LEASES: 'memory',
    CIRC_TIER_STORE: `file://${directory}`,
    CIRC_TIER_STORE_SIZE: `${storeBytes}`,
  });
  const origins = parseOriginsFile(JSON.stringify({ registries: { [REGISTRY]: { endpoint: origin.url } } }));
  return await startSharedTier({ ...config, origins }, pino({ level: 'silent' }));
}

async function files(directory: string, part: string): Promise<number> {
  const entries = await readdir(join(directory, 'v1', part), { recursive: true, withFileTypes: true });
  return entries.filter((entry) => entry.isFile()).length;
}

test('a tier whose store has become smaller starts with what still fits, records too', async () => {
  await using directory = await tmpDir();
  await using origin = await startOrigin();
  const kept = async () => [await files(directory.path, 'blobs'), await files(directory.path, 'records')];
  const blobs = [1, 2, 3].map((seed) => generatedBlob(100_000, seed));
  {
    await using tier = await tierOver(directory.path, origin, 1_000_000);
    for (const blob of blobs) {
      const { digest } = await origin.addBlob(APP, blob);
      const url = `http://${formatAddress(tier.http)}/v2/${APP}/blobs/${digest}?ns=${REGISTRY}`;
      expect((await ask(url)).body.length).toBe(100_000);
    }
    // Bytes are handed out as soon as they are verified; the disk may still be busy with them.
    await vi.waitFor(async () => expect(await kept()).toEqual([3, 3]), 5_000);
  }

  await using smaller = await tierOver(directory.path, origin, 150_000);

  expect((await ask(`http://${formatAddress(smaller.http)}/v2/`, { headers: { authorization: 'x' } })).status).toBe(
    200,
  );
  expect(await kept()).toEqual([1, 1]);
});

test('a tier that cannot listen frees what it had begun with', async () => {
  await using directory = await tmpDir();
  await using origin = await startOrigin();
  await using first = await tierOver(directory.path, origin, 1_000_000);
  const config = readTierConfig({
    CIRC_TIER_GRPC_LISTEN: '127.0.0.1:0',
    CIRC_TIER_HTTP_LISTEN: formatAddress(first.http),
    CIRC_TIER_STATUS_LISTEN: '127.0.0.1:0',
    CIRC_TIER_LEASES: 'memory',
    CIRC_TIER_STORE: `file://${directory.path}/other`,
  });
  await expect(startSharedTier(config, pino({ level: 'silent' }))).rejects.toMatchObject({ code: 'EADDRINUSE' });
});
