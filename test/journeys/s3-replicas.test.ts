import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { generatedBlob } from '../support/blobs.ts';
import { adminOf } from '../support/house-admin.ts';
import { type ReplicatedTier, startReplicas } from '../support/house-replicas.ts';
import { ask } from '../support/origin-client.ts';
import { type S3Server, s3Server } from '../support/s3-server.ts';
import { tmpDir } from '../support/tmp-dir.ts';

const HOSTS = ['127.0.0.2', '127.0.0.3'] as const;
const [FIRST, SECOND] = HOSTS;

/** Two replicas on one bucket, and an image at their origin. */
async function replicasOnBucket() {
  await using stack = new AsyncDisposableStack();
  const server: S3Server = stack.use(await s3Server());
  const directory = stack.use(await tmpDir());
  const envOf = (spool: string) => ({ ...server.env, CIRC_TIER_SPOOL_DIR: join(directory.path, spool) });
  const envs = Object.fromEntries(HOSTS.map((host) => [host, envOf(host)]));
  const tier: ReplicatedTier = stack.use(await startReplicas(2, envs));
  await tier.origin.addImage('org/app', 'v1', { layers: [generatedBlob(300_000, 1), generatedBlob(5_000, 2)] });
  const running = stack.move();
  return {
    tier,
    /** What is in the bucket below a part of its keys. */
    written: (part: string) => server.bucket.keys().filter((key) => key.includes(part)),
    /** Writes an object beside the store's id. */
    put: (key: string, content: object) => {
      const id = server.bucket.keys().find((each) => each.endsWith('/v1/id'));
      server.bucket.put(`${id?.replace('/v1/id', key)}`, Buffer.from(JSON.stringify(content)));
    },
    /** Ends all replicas at once, and starts them on other machines. */
    async restartAll(): Promise<void> {
      for (const host of HOSTS) tier.at(host).kill('SIGKILL');
      for (const host of HOSTS) await tier.start(host, envOf(`${host}-again`));
    },
    [Symbol.asyncDispose]: () => running.disposeAsync(),
  };
}

test('how much there is in the bucket any replica tells, by the last round of whichever collects', async () => {
  await using it = await replicasOnBucket();
  const tell = async () =>
    await Promise.all(
      HOSTS.map(async (host) => {
        using admin = adminOf({ host, port: it.tier.port });
        const { blobs, bytes } = await admin.stats();
        return { blobs, bytes };
      }),
    );
  const nothing = { blobs: 0, bytes: 0 };
  expect(await tell()).toEqual([nothing, nothing]); // nobody has looked yet
  const usage = { blobs: 4, bytes: 305_000 };
  it.put('/v1/usage.json', usage);
  await expect.poll(tell, { timeout: 15_000 }).toEqual([usage, usage]);
}, 60_000);

describe('an origin that is down', () => {
  test('is stood in for by any replica, and after a restart of all of them, for what one has learnt', async () => {
    await using it = await replicasOnBucket();
    const { tier } = it;
    const { bytes, manifests } = await (await tier.agent(() => [FIRST])).pull('org/app', 'v1');
    // Manifest, configuration, two layers; and that anybody may read the repository.
    await expect.poll(() => it.written('/v1/records/').length, { timeout: 10_000 }).toBe(4);
    await expect.poll(() => it.written('/v1/public/').length, { timeout: 10_000 }).toBe(1);
    tier.origin.mood = { resetHeaders: true };

    const second = await tier.agent(() => [SECOND]);
    expect(await second.pull('org/app', 'v1')).toMatchObject({ bytes, manifests });
    // What nobody has asked for before is not known.
    expect(await ask(second.url('manifests', 'org/app', 'v2'), { method: 'HEAD' })).toMatchObject({ status: 503 });
    expect(await ask(second.url('manifests', 'org/none', 'v1'), { method: 'HEAD' })).toMatchObject({ status: 503 });

    await it.restartAll();
    for (const host of HOSTS) {
      const agent = await tier.agent(() => [host]);
      expect(await agent.pull('org/app', 'v1')).toMatchObject({ bytes, manifests });
    }
  }, 60_000);
});
