import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { digestOf } from '../../../oci/digest.ts';
import { generatedBlob } from '../../support/blobs.ts';
import { pull, urlOf } from '../../support/house-client.ts';
import { startReplicas } from '../../support/house-replicas.ts';
import { startHouse } from '../../support/house.ts';
import { ask } from '../../support/origin-client.ts';
import { s3Server } from '../../support/s3-server.ts';
import { type Origin, startOrigin } from '../../support/origin.ts';
import { startHarbor } from '../../support/registries/harbor.ts';
import { tmpDir } from '../../support/tmp-dir.ts';

const MIB = 1024 * 1024;
const REPOSITORY = 'hub/org/app';
const PLACE = { registry: 'harbor.test', repository: REPOSITORY, reference: 'v1' };

/** It tells no length, knows no ranges, and says that it has nothing: all blobs must come from where it gets them. */
function makeCold({ origin }: { origin: Origin }): void {
  origin.when({ kind: 'blob', method: 'GET' }, { noLength: true, ranges: false });
  origin.when({ kind: 'blob', method: 'HEAD' }, { status: 404 });
}

// What a project of Harbor 2.15 does that stands for another registry, as long as it has not got something itself.
describe("Harbor's proxy cache that has nothing yet", () => {
  test('streams blobs without their sizes; each comes once, and is kept', async () => {
    await using harbor = await startHarbor();
    makeCold(harbor);
    const layers = [generatedBlob(MIB, 1), generatedBlob(65 * MIB, 2)];
    const { config, layers: added } = await harbor.addImage(REPOSITORY, 'v1', { layers });
    await using house = await startHouse({ registries: { 'harbor.test': harbor } });
    for (let time = 1; time <= 2; time += 1) {
      await expect(pull({ mirror: house.mirror, ...PLACE })).resolves.toMatchObject({ blobs: { length: 3 } });
    }
    for (const { digest, sizeBytes } of [config, ...added]) {
      expect([harbor.bodyBytes(digest), harbor.origin.count({ digest })]).toEqual([sizeBytes, 1]);
    }
  });

  test('streams what another repository has brought already, and so tells that this one has it, too', async () => {
    await using harbor = await startHarbor();
    makeCold(harbor);
    const layers = [generatedBlob(MIB, 1)];
    await harbor.addImage(REPOSITORY, 'v1', { layers });
    await harbor.addImage('hub/org/other', 'v1', { layers });
    await using house = await startHouse({ registries: { 'harbor.test': harbor } });
    await pull({ mirror: house.mirror, ...PLACE });
    const other = { ...PLACE, repository: 'hub/org/other' };
    await expect(pull({ mirror: house.mirror, ...other })).resolves.toMatchObject({ blobs: { length: 2 } });
  });

  test('has by GET what its HEAD says it has not: also where the operator fetches', async () => {
    await using harbor = await startHarbor({ users: { ops: { password: 'p', repositories: [REPOSITORY] } } });
    makeCold(harbor);
    await harbor.addImage(REPOSITORY, 'v1', { layers: [generatedBlob(MIB, 1)] });
    await using directory = await tmpDir();
    const credentialsFile = join(directory.path, 'credentials.json');
    await writeFile(credentialsFile, JSON.stringify({ username: 'ops', password: 'p' }));
    const entry = { ...harbor.entry, credentialsFile };
    await using house = await startHouse({ registries: { 'harbor.test': { url: harbor.url, entry } } });
    await expect(pull({ mirror: house.mirror, ...PLACE })).resolves.toMatchObject({ blobs: { length: 2 } });
  });

  test('tells the size by GET of what a manifest names, and is asked once for what none names', async () => {
    await using harbor = await startHarbor();
    makeCold(harbor);
    const { layers } = await harbor.addImage(REPOSITORY, 'v1', { layers: [generatedBlob(MIB, 1)] });
    await using house = await startHouse({ registries: { 'harbor.test': harbor } });
    const place = { mirror: house.mirror, ...PLACE };
    const head = async (digest = ''): Promise<[number, string | undefined]> => {
      const { status, headers } = await ask(urlOf(place, 'blobs', digest), { method: 'HEAD' });
      return [status, headers['content-length']];
    };
    expect((await ask(urlOf(place, 'manifests', 'v1'))).status).toBe(200);
    expect(await head(layers[0]?.digest)).toEqual([200, String(MIB)]);
    const before = harbor.origin.requests.length;
    expect((await head(digestOf(Buffer.from('unnamed'))))[0]).toBe(404);
    expect(harbor.origin.requests.length - before).toBe(1);
  });

  test('streams to each replica of the shared tier', async () => {
    await using server = await s3Server();
    await using directory = await tmpDir();
    const envOf = (spool: string) => ({ ...server.env, CIRC_TIER_SPOOL_DIR: join(directory.path, spool) });
    await using tier = await startReplicas(2, { '127.0.0.2': envOf('2'), '127.0.0.3': envOf('3') });
    makeCold(tier);
    const layers = Array.from({ length: 8 }, (_, seed) => generatedBlob(100_000, seed));
    const image = await tier.origin.addImage('org/app', undefined, { layers });
    tier.origin.addIndex('org/app', 'v1', [image.manifest]);
    const agent = await tier.agent();
    await expect(agent.pull('org/app', 'v1')).resolves.toMatchObject({ blobs: { length: 9 } });
    for (const { digest } of image.layers) expect(tier.origin.count({ digest, method: 'GET', status: 200 })).toBe(1);
  });
});

test('Harbor leads to library/ where it stands for Docker Hub, with 301: an official image is pulled by its short name', async () => {
  await using harbor = await startOrigin();
  const { manifest } = await harbor.addImage('hub/library/app', 'v1', { layers: [generatedBlob(MIB)] });
  const redirectTo = { locate: (path: string) => path.replace('/hub/app/', '/hub/library/app/') };
  harbor.when({ repository: 'hub/app' }, { redirectTo, redirectStatus: 301 });
  await using house = await startHouse({ registries: { 'harbor.test': harbor } });
  const pulling = pull({ mirror: house.mirror, ...PLACE, repository: 'hub/app' });
  await expect(pulling).resolves.toMatchObject({ manifests: [manifest.digest], blobs: { length: 2 } });
});
