import { describe, expect, test } from 'vitest';
import { MEDIA_TYPES } from '../support/origin-content.ts';
import { generatedBlob } from '../support/blobs.ts';
import { download, pull, urlOf } from '../support/house-client.ts';
import { REGISTRY, startHouse } from '../support/house.ts';
import { ask } from '../support/origin-client.ts';
import { startOrigin } from '../support/origin.ts';

const MIB = 1024 * 1024;

describe('the first pulls of an image', () => {
  test('go origin → tier → agent, then tier → agent, then come from the disk of the node', async () => {
    await using house = await startHouse();
    const layers = [generatedBlob(3 * MIB, 1), generatedBlob(MIB + 7, 2)];
    await house.origin.addImage('org/app', 'v1', { layers });

    const first = await house.pull('org/app', 'v1');
    await expect.poll(() => house.answered('origin')).toBe(3);
    expect(await house.stored('agent')).toEqual([]);
    // The tier may still be putting away what its readers have already.
    await expect.poll(async () => (await house.tierMetrics()).sum('circ_fetches_in_flight')).toBe(0);

    const blobGets = house.origin.count({ kind: 'blob', method: 'GET' });
    await expect(house.pull('org/app', 'v1')).resolves.toMatchObject({ bytes: first.bytes });
    await expect.poll(() => house.answered('tier-hit')).toBe(3);
    await expect.poll(() => house.stored('agent')).toHaveLength(3);

    const tierBytes = (await house.tierMetrics()).sum('circ_read_bytes_total');
    await house.pull('org/app', 'v1');
    await expect.poll(() => house.answered('node-hit')).toBe(3);
    const metrics = await house.agentMetrics();
    expect(metrics.sum('circ_served_bytes_total', { outcome: 'node-hit' })).toBeGreaterThanOrEqual(first.bytes);
    expect((await house.tierMetrics()).sum('circ_read_bytes_total')).toBe(tierBytes);
    expect(house.origin.count({ kind: 'blob' })).toBe(blobGets);
    expect((await house.tierMetrics()).sum('circ_origin_bytes_total', { origin: REGISTRY })).toBe(first.bytes);
  });

  test('are as good in the path form as in the ns form', async () => {
    await using house = await startHouse();
    await house.origin.addImage('org/app', 'v1', { layers: [generatedBlob(MIB)] });
    const place = { registry: REGISTRY, repository: 'org/app', reference: 'v1', path: true };
    const byAgent = await pull({ mirror: house.mirror, ...place });
    expect(await pull({ mirror: house.tierUrl, ...place })).toEqual(byAgent);
    expect(house.origin.bodyBytes(byAgent.blobs[0] ?? '')).toBeGreaterThan(0);
    expect(house.origin.count({ kind: 'blob', method: 'GET' })).toBe(2);
  });

  test('of an index bring all of its images', async () => {
    await using house = await startHouse();
    const images = await Promise.all(
      ['amd64', 'arm64'].map(async (architecture, seed) => {
        const options = { layers: [generatedBlob(MIB, seed)], platform: { os: 'linux', architecture } };
        return (await house.origin.addImage('org/multi', undefined, options)).manifest;
      }),
    );
    const index = house.origin.addIndex('org/multi', 'v1', images);
    const pulled = await house.pull('org/multi', 'v1');
    expect(pulled.manifests).toEqual([index.digest, ...images.map(({ digest }) => digest)]);
    expect(pulled.blobs).toHaveLength(4);
  });

  test('of an image in the media types of Docker keep them', async () => {
    await using house = await startHouse();
    const { manifest } = await house.origin.addImage('org/old', 'v1', { layers: [generatedBlob(1000)], docker: true });
    await house.pull('org/old', 'v1');
    const answer = await ask(house.url('manifests', 'org/old', manifest.digest), { method: 'HEAD' });
    expect(answer.headers['content-type']).toBe(MEDIA_TYPES.docker.manifest);
  });

  test('of an image whose digests are sha512 verify all of it', async () => {
    await using house = await startHouse();
    const layer = await house.origin.addBlob('org/new', generatedBlob(MIB), { algorithm: 'sha512' });
    const config = await house.origin.addBlob('org/new', Buffer.from('{}'), { algorithm: 'sha512' });
    const wire = [layer, config].map(({ digest, sizeBytes, mediaType }) => ({ mediaType, digest, size: sizeBytes }));
    const mediaType = MEDIA_TYPES.oci.manifest;
    const json = { schemaVersion: 2, mediaType, config: wire[1], layers: [wire[0]] };
    const { digest } = house.origin.addManifest('org/new', 'v1', json, mediaType, 'sha512');
    for (let time = 1; time <= 3; time += 1) {
      const pulled = await house.pull('org/new', digest);
      expect(pulled.blobs.toSorted()).toEqual([layer.digest, config.digest].toSorted());
    }
    await expect.poll(() => house.stored('agent')).toContain(layer.digest);
  });

  test('of a blob without a byte work', async () => {
    await using house = await startHouse();
    const { digest } = await house.origin.addBlob('org/app', Buffer.alloc(0));
    for (let time = 1; time <= 4; time += 1) {
      expect(await house.blob('org/app', digest)).toMatchObject({ status: 200, bytes: 0, isWhole: true, digest });
    }
  });

  test('of one digest from two origins ask each of them for its own bytes', async () => {
    await using other = await startOrigin();
    await using house = await startHouse({ registries: { 'other.test': other } });
    const { digest } = await house.origin.addBlob('org/app', generatedBlob(MIB));
    await house.blob('org/app', digest);
    const url = urlOf({ mirror: house.mirror, registry: 'other.test', repository: 'org/app' }, 'blobs', digest);
    // The other origin does not have it: what the first one gave must not answer for it.
    expect(await download(url)).toMatchObject({ status: 404 });
    await other.addBlob('org/app', generatedBlob(MIB));
    expect(await download(url)).toMatchObject({ status: 200, digest, isWhole: true });
    expect(other.bodyBytes(digest)).toBe(MIB);
    expect(house.origin.bodyBytes(digest)).toBe(MIB);
  });

  test('from a registry that is not listed and resolves to this machine are answered 404', async () => {
    await using house = await startHouse();
    for (const registry of ['localhost', '127.0.0.1:5000', '[::1]:5000', house.origin.host, 'localhost:80']) {
      const url = urlOf({ mirror: house.mirror, registry, repository: 'org/app' }, 'manifests', 'v1');
      expect(await ask(url), `of ${registry}`).toMatchObject({ status: 404 });
    }
    expect(house.origin.requests).toEqual([]);
  });
});
