import { readdir } from 'node:fs/promises';
import { describe, expect, test } from 'vitest';
import { Layout } from '../../content/layout.ts';
import { scanBlobs } from '../../content/scan.ts';
import { digestOf } from '../../oci/digest.ts';
import { generatedBlob, readBytes } from '../support/blobs.ts';
import type { Program } from '../support/house-process.ts';
import { PushClient, locationOf, partOf } from '../support/house-push.ts';
import { startReplicas } from '../support/house-replicas.ts';
import { REGISTRY } from '../support/house.ts';
import { type TmpDir, tmpDir } from '../support/tmp-dir.ts';

const MIB = 1024 * 1024;
const SOON = { timeout: 20_000 };
const [HOST, OTHER] = ['127.0.0.2', '127.0.0.3'];
const blob = generatedBlob(4 * MIB, 41);
const bytes = readBytes(blob);
const digest = digestOf(bytes);
const half = 2 * MIB;

describe('a replica that is killed in the middle of an upload', () => {
  test('leaves no part of the blob and no state behind; the upload goes on, and the next push succeeds', async () => {
    await using directory = await tmpDir();
    const env = { CIRC_TIER_STORE: `file://${directory.path}` };
    await using tier = await startReplicas(1, { [HOST]: env });
    const { origin } = tier;
    const pusher = await pusherOf(tier.at(HOST));
    const address = await pusher.begin();
    const cut = pusher.ask('PATCH', address, { body: endless(bytes.subarray(0, half)) });
    await expect.poll(() => origin.requests.at(-1)?.receivedBytes, SOON).toBe(half);

    tier.at(HOST).kill('SIGKILL');
    expect((await tier.at(HOST).exited()).signal).toBe('SIGKILL');
    expect((await cut).failure).toBeDefined();
    expect(origin.blob(digest)).toBeUndefined();
    expect((await leftIn(directory)).ingests).toBe(1); // what the next start drops
    const restarted = await pusherOf(await tier.start(HOST, env));
    expect(await leftIn(directory)).toEqual({ ingests: 0, blobs: [] });

    const status = await restarted.ask('GET', address);
    expect([status.status, status.headers.range]).toEqual([204, `0-${half - 1}`]);
    const patched = await restarted.patch(locationOf(status, 204), ...partOf(bytes, half, half));
    expect((await restarted.put(locationOf(patched, 202), digest)).status).toBe(201);
    expect(digestOf(readBytes(origin.blob(digest) ?? generatedBlob(0)))).toBe(digest);
    expect(await leftIn(directory)).toEqual({ ingests: 0, blobs: [] });

    const next = await restarted.image('v2', [generatedBlob(MIB, 42)]);
    expect((await leftIn(directory)).blobs.toSorted()).toEqual([next.digest, ...next.blobs].toSorted());
    expect(origin.openUploads).toBe(0);
  }, 60_000);

  test('has its upload gone on with at another one, which does not take for seen what it has not', async () => {
    await using directory = await tmpDir();
    const env = { CIRC_TIER_STORE: `file://${directory.path}` };
    await using tier = await startReplicas(2, { [OTHER]: env });
    const { origin } = tier;
    const first = await pusherOf(tier.at(HOST));
    const address = await first.begin();
    const cut = first.ask('PATCH', address, { body: endless(bytes.subarray(0, half)) });
    await expect.poll(() => origin.requests.at(-1)?.receivedBytes, SOON).toBe(half);

    tier.at(HOST).kill('SIGKILL');
    expect((await cut).failure).toBeDefined();

    const second = await pusherOf(tier.at(OTHER));
    const status = await second.ask('GET', address);
    expect([status.status, status.headers.range]).toEqual([204, `0-${half - 1}`]);
    const patched = await second.patch(locationOf(status, 204), ...partOf(bytes, half, half));
    expect((await second.put(locationOf(patched, 202), digest)).status).toBe(201);
    expect([origin.openUploads, await leftIn(directory)]).toEqual([0, { ingests: 0, blobs: [] }]);
    expect((await second.ask('GET', `blobs/${digest}`)).body.equals(bytes)).toBe(true);
    expect(origin.count({ kind: 'blob', method: 'GET', digest })).toBeGreaterThan(0);
  }, 60_000);
});

async function pusherOf(program: Program): Promise<PushClient> {
  const { http = '' } = await program.listening();
  return new PushClient({ url: `http://${http}`, repository: 'org/app', ns: REGISTRY });
}

async function leftIn({ path }: TmpDir): Promise<{ ingests: number; blobs: string[] }> {
  const layout = new Layout(path);
  const blobs = (await scanBlobs(layout)).map(({ digest: each }) => each);
  return { ingests: (await readdir(layout.ingests)).length, blobs };
}

/** A body that has come so far, and does not end. */
async function* endless(beginning: Buffer): AsyncGenerator<Buffer> {
  yield beginning;
  await new Promise(() => undefined);
}
