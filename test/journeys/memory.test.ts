import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { generatedBlob } from '../support/blobs.ts';
import { download, urlOf } from '../support/house-client.ts';
import { Program } from '../support/house-process.ts';
import { REGISTRY, originsFile } from '../support/house.ts';
import { startOrigin } from '../support/origin.ts';
import { tmpDir } from '../support/tmp-dir.ts';

const MIB = 1024 * 1024;
const CLIENTS = 16;
/** What a program may take more than it has when it does nothing. */
const MAX_MORE = 80 * MIB;

describe('the memory of the programs', () => {
  test('stays bounded while 16 clients read a cold blob of 256 MiB', async () => {
    await using directory = await tmpDir();
    await using origin = await startOrigin();
    const { digest, sizeBytes } = await origin.addBlob('org/app', generatedBlob(256 * MIB));
    const origins = join(directory.path, 'origins.yaml');
    await writeFile(origins, originsFile({ [REGISTRY]: origin }));
    const anywhere = '127.0.0.1:0';
    await using tier = new Program('shared-tier/main.ts', {
      env: {
        CIRC_TIER_GRPC_LISTEN: anywhere,
        CIRC_TIER_HTTP_LISTEN: anywhere,
        CIRC_TIER_STATUS_LISTEN: anywhere,
        CIRC_TIER_LEASES: 'memory',
        CIRC_TIER_STORE: `file://${join(directory.path, 'tier')}`,
        CIRC_ORIGINS: origins,
      },
    });
    const { grpc = '' } = await tier.listening();
    await using agent = new Program('agent/main.ts', {
      env: {
        CIRC_AGENT_LISTEN: anywhere,
        CIRC_AGENT_STATUS_LISTEN: anywhere,
        CIRC_AGENT_CACHE_DIR: join(directory.path, 'agent'),
        CIRC_AGENT_MIN_FREE: '0%',
        CIRC_SHARED_TIER: grpc,
        CIRC_ORIGINS: origins,
      },
    });
    const { mirror: host = '' } = await agent.listening();
    const url = urlOf({ mirror: `http://${host}`, registry: REGISTRY, repository: 'org/app' }, 'blobs', digest);
    const idle = [await agent.memory(), await tier.memory()];

    // All of it by one, and a sixteenth by each of the others: all at once, but not sixteen times the work.
    const part = sizeBytes / CLIENTS;
    const [whole, ...parts] = await Promise.all(
      Array.from({ length: CLIENTS }, async (_, index) => {
        if (index === 0) return await download(url);
        return await download(url, { headers: { range: `bytes=${index * part}-` }, enough: part });
      }),
    );
    expect(whole).toMatchObject({ status: 200, isWhole: true, digest });
    for (const got of parts) expect(got).toMatchObject({ status: 206, bytes: part });
    const busy = [await agent.memory(), await tier.memory()];
    busy.forEach(({ peak }, index) => expect((peak - (idle[index]?.now ?? 0)) / MIB).toBeLessThan(MAX_MORE / MIB));

    tier.kill('SIGTERM');
    agent.kill('SIGTERM');
    expect([(await tier.exited()).code, (await agent.exited()).code]).toEqual([0, 0]);
  }, 90_000);
});
