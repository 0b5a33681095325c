import { readFile, readdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { digestOf } from '../../oci/digest.ts';
import { generatedBlob } from '../support/blobs.ts';
import { download, urlOf } from '../support/house-client.ts';
import { Program } from '../support/house-process.ts';
import { REGISTRY, originsFile, startHouse } from '../support/house.ts';
import { ask } from '../support/origin-client.ts';
import { startOrigin } from '../support/origin.ts';
import { tmpDir } from '../support/tmp-dir.ts';

const MIB = 1024 * 1024;

/** A house with a client in the middle of a blob, which takes the origin a second. */
async function houseInMidBlob() {
  const house = await startHouse({ agent: { CIRC_AGENT_ADMIT: 'always' } });
  const { digest, sizeBytes } = await house.origin.addBlob('org/app', generatedBlob(4 * MIB));
  house.origin.when({ kind: 'blob', method: 'GET' }, { bytesPerSecondPerConnection: 4 * MIB });
  const some = Promise.withResolvers<void>();
  const cut = house.blob('org/app', digest, { onPiece: () => some.resolve() });
  await some.promise;
  return Object.assign(house, { digest, sizeBytes, cut });
}

describe('after a restart', () => {
  test('of both, content comes from disk, and the origin gives no blob again', async () => {
    await using house = await startHouse({ agent: { CIRC_AGENT_ADMIT: 'always' } });
    await house.origin.addImage('org/app', 'v1', { layers: [generatedBlob(MIB, 1), generatedBlob(MIB, 2)] });
    const first = await house.pull('org/app', 'v1');
    await expect.poll(() => house.stored('agent')).toHaveLength(3);
    const gets = house.origin.count({ method: 'GET' });
    await house.restartTier();
    await house.restartAgent();
    expect(await house.pull('org/app', 'v1')).toMatchObject({ bytes: first.bytes });
    expect(house.origin.count({ method: 'GET' })).toBe(gets);
    await expect.poll(() => house.answered('node-hit')).toBe(3);
  });

  test('of the agent in the middle of a blob, the client resumes and the rest is right', async () => {
    await using house = await houseInMidBlob();
    const { digest, sizeBytes, cut } = house;
    await house.restartAgent();
    const { bytes, isWhole } = await cut;
    expect(isWhole).toBe(false);
    const rest = await house.blob('org/app', digest, { headers: { range: `bytes=${bytes}-` } });
    expect(rest).toMatchObject({ status: 206, bytes: sizeBytes - bytes, isWhole: true });
    expect(await house.blob('org/app', digest)).toMatchObject({ digest, isWhole: true });
    expect(house.origin.bodyBytes(digest)).toBe(sizeBytes);
  });

  test('of the tier in the middle of a blob, nobody gets a wrong body, and the next one is right', async () => {
    await using house = await houseInMidBlob();
    const { digest, sizeBytes, cut } = house;
    await house.restartTier();
    const got = await cut;
    expect(got.isWhole).toBe(got.digest === digest);
    expect(got.isWhole || got.bytes < sizeBytes).toBe(true);
    house.origin.calm();
    const again = async () => (await house.blob('org/app', digest)).digest;
    await expect.poll(again, { timeout: 10_000 }).toBe(digest);
    await expect.poll(() => house.stored('agent')).toEqual([digest]);
    expect(await house.stored('tier')).toEqual([digest]);
    expect(await house.ingests()).toBe(0);
  });
});

describe('while the tier is away', () => {
  test('everything is 503 at once, the agent stays live and ready, and all is well when it is back', async () => {
    await using house = await startHouse({ agent: { CIRC_AGENT_ADMIT: 'always' } });
    const { manifest, layers } = await house.origin.addImage('org/app', 'v1', { layers: [generatedBlob(MIB)] });
    const digest = layers[0]?.digest ?? '';
    await house.stopTier();
    for (const url of [
      house.url('manifests', 'org/app', 'v1'),
      house.url('manifests', 'org/app', manifest.digest),
      house.url('blobs', 'org/app', digest),
    ]) {
      for (const method of ['GET', 'HEAD']) {
        const startedAt = performance.now();
        expect(await ask(url, { method })).toMatchObject({ status: 503 });
        expect(performance.now() - startedAt).toBeLessThan(1_000);
      }
    }
    const { host, port } = house.agent.status;
    for (const path of ['livez', 'readyz']) expect((await fetch(`http://${host}:${port}/${path}`)).status).toBe(200);
    expect((await ask(`${house.mirror}/v2/`)).status).toBe(200);
    await house.startTier();
    const pulled = async () => (await house.pull('org/app', 'v1').catch(() => undefined))?.manifests;
    await expect.poll(pulled, { timeout: 10_000 }).toEqual([manifest.digest]);
  });
});

describe('kill -9', () => {
  test('in the middle of fetches loses at most what was on its way, and corrupts nothing', async () => {
    await using directory = await tmpDir();
    await using origin = await startOrigin();
    const [done, half] = [generatedBlob(MIB, 1), generatedBlob(80 * MIB, 2)];
    const { digest } = await origin.addBlob('org/app', done);
    const { digest: halfDigest } = await origin.addBlob('org/app', half);
    const origins = join(directory.path, 'origins.yaml');
    await writeFile(origins, originsFile({ [REGISTRY]: origin }));
    const listeners = [
      'AGENT_LISTEN',
      'AGENT_STATUS_LISTEN',
      'TIER_GRPC_LISTEN',
      'TIER_HTTP_LISTEN',
      'TIER_STATUS_LISTEN',
    ];
    const env = {
      ...Object.fromEntries(listeners.map((name) => [`CIRC_${name}`, '127.0.0.1:0'])),
      CIRC_AGENT_ADMIT: 'always',
      CIRC_AGENT_MIN_FREE: '0%',
      CIRC_ORIGINS: origins,
    };
    const place = { registry: REGISTRY, repository: 'org/app' };
    const start = async () => {
      const program = new Program('scripts/start.ts', { env, cwd: directory.path });
      return { program, mirror: await program.says(/mirror for containerd\s+(http:\S+)/) };
    };
    const caches = ['agent', 'tier'].map((part) => join(directory.path, '.circ', part, 'v1'));
    {
      await using parts = new AsyncDisposableStack();
      const { program, mirror } = await start();
      parts.use(program);
      expect(await download(urlOf({ mirror, ...place }, 'blobs', digest))).toMatchObject({ digest, isWhole: true });
      await expect.poll(() => readdir(join(caches[0] ?? '', 'ingest'))).toEqual([]); // the node has it too
      origin.when({ kind: 'blob', method: 'GET' }, { bytesPerSecondPerConnection: 20 * MIB });
      const some = Promise.withResolvers<void>();
      const url = urlOf({ mirror, ...place }, 'blobs', halfDigest);
      const cut = download(url, { onPiece: () => some.resolve() });
      await some.promise;
      program.kill('SIGKILL');
      expect((await cut).isWhole).toBe(false);
    }
    origin.calm();
    await using parts = new AsyncDisposableStack();
    const { program, mirror } = await start();
    parts.use(program);
    for (const cache of caches) {
      expect(await readdir(join(cache, 'ingest'))).toEqual([]);
      const blobs = await readdir(join(cache, 'blobs'), { recursive: true, withFileTypes: true });
      const files = blobs.filter((entry) => entry.isFile());
      expect(files.map(({ name }) => `sha256:${name}`)).toEqual([digest]);
      for (const { parentPath, name } of files) {
        expect(digestOf(await readFile(join(parentPath, name)))).toBe(`sha256:${name}`);
      }
    }
    const before = origin.bodyBytes(digest);
    expect(await download(urlOf({ mirror, ...place }, 'blobs', digest))).toMatchObject({ digest, isWhole: true });
    expect(origin.bodyBytes(digest)).toBe(before);
    expect(await download(urlOf({ mirror, ...place }, 'blobs', halfDigest))).toMatchObject({
      digest: halfDigest,
      isWhole: true,
    });
  });
});
