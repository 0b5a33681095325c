import { describe, expect, test } from 'vitest';
import { generatedBlob } from '../support/blobs.ts';
import { type RunningAgent, startReplicas } from '../support/house-replicas.ts';
import { ask } from '../support/origin-client.ts';

const MIB = 1024 * 1024;
/** A second is what a replica may cost; the rest is for machines that are busy with other tests. */
const AT_MOST_MS = 3_000;
const LAYERS = Array.from({ length: 8 }, (_, index) => generatedBlob(MIB, index + 1));

async function timed<T>(work: () => Promise<T>): Promise<{ ms: number; result: T }> {
  const startedAt = performance.now();
  const result = await work();
  return { ms: performance.now() - startedAt, result };
}

async function failovers(agent: RunningAgent, what: string): Promise<number> {
  return (await agent.metrics()).sum('circ_tier_failovers_total', { what });
}

describe('of two replicas', () => {
  test('one that is frozen costs a pull a second, and the next pull nothing', async () => {
    await using tier = await startReplicas(2);
    const { manifest } = await tier.origin.addImage('org/app', 'v1', { layers: LAYERS });
    await tier.origin.addImage('org/other', 'v1', { layers: LAYERS });
    const agent = await tier.agent();
    tier.at(tier.preferred('registry.test/org/app')[0]).kill('SIGSTOP');
    const first = await timed(() => agent.pull('org/app', 'v1'));
    expect(first.result).toMatchObject({ manifests: [manifest.digest], blobs: { length: 9 } });
    expect(first.ms).toBeLessThan(AT_MOST_MS);
    expect(await failovers(agent, 'question')).toBeGreaterThan(0);
    await agent.replicas({ healthy: 1, failed: 1 });
    // That nobody is asked again who has failed is told by the count, whatever the machine's speed.
    const before = await failovers(agent, 'question');
    expect((await timed(() => agent.pull('org/other', 'v1'))).ms).toBeLessThan(AT_MOST_MS);
    expect(await failovers(agent, 'question')).toBe(before);
  });

  test('one that is killed costs nothing, and is asked again when it is back', async () => {
    await using tier = await startReplicas(2);
    await tier.origin.addImage('org/app', 'v1', { layers: LAYERS });
    const agent = await tier.agent();
    const [gone] = tier.preferred('registry.test/org/app');
    tier.at(gone).kill('SIGKILL');
    expect((await timed(() => agent.pull('org/app', 'v1'))).ms).toBeLessThan(AT_MOST_MS);
    await agent.replicas({ healthy: 1, failed: 1 });
    await tier.start(gone);
    await agent.replicas({ healthy: 2 });
    await agent.pull('org/app', 'v1');
  }, 40_000);

  test('one that is told to stop is left before it ends', async () => {
    await using tier = await startReplicas(2);
    const { layers } = await tier.origin.addImage('org/app', 'v1', { layers: [generatedBlob(4 * MIB)] });
    const { digest = '' } = layers[0] ?? {};
    const agent = await tier.agent();
    const [stopping] = tier.preferred(digest);
    tier.origin.when({ kind: 'blob', method: 'GET' }, { bytesPerSecondPerConnection: 2 * MIB });
    const some = Promise.withResolvers<void>();
    const running = agent.blob('org/app', digest, { onPiece: () => some.resolve() });
    await some.promise;
    tier.at(stopping).kill('SIGTERM');
    await agent.replicas({ healthy: 1, failed: 1 });
    const before = await failovers(agent, 'question');
    await agent.pull('org/app', 'v1');
    expect(await failovers(agent, 'question')).toBe(before);
    expect(await running).toMatchObject({ digest, isWhole: true });
  });

  test('both frozen are answered for with 503, within a second and then at once', async () => {
    await using tier = await startReplicas(2);
    await tier.origin.addImage('org/app', 'v1', { layers: LAYERS });
    const agent = await tier.agent();
    for (const host of tier.hosts) tier.at(host).kill('SIGSTOP');
    const url = agent.url('manifests', 'org/app', 'v1');
    const first = await timed(() => ask(url, { method: 'HEAD' }));
    expect(first.result).toMatchObject({ status: 503 });
    expect(first.ms).toBeLessThan(AT_MOST_MS);
    const second = await timed(() => ask(url, { method: 'HEAD' }));
    expect(second.result).toMatchObject({ status: 503 });
    expect(second.ms).toBeLessThan(500);
  });
});

describe('of four replicas', () => {
  test('two that are frozen at once cost no more than one', async () => {
    await using tier = await startReplicas(4);
    await tier.origin.addImage('org/app', 'v1', { layers: LAYERS });
    const agent = await tier.agent();
    for (const host of tier.preferred('registry.test/org/app').slice(0, 2)) tier.at(host).kill('SIGSTOP');
    const { ms, result } = await timed(() => agent.pull('org/app', 'v1'));
    expect(result.blobs).toHaveLength(9);
    expect(ms).toBeLessThan(AT_MOST_MS);
    await agent.replicas({ healthy: 2, failed: 2 });
  }, 40_000);

  test('one that is new is found, and one that is gone from the name is forgotten', async () => {
    await using tier = await startReplicas(2);
    await tier.origin.addImage('org/app', 'v1', { layers: LAYERS });
    let known = tier.hosts.slice(0, 1);
    const agent = await tier.agent(() => known);
    known = tier.hosts.slice(1);
    const pulled = async () => {
      await agent.pull('org/app', 'v1');
      return (await agent.metrics()).sum('circ_tier_replicas', { state: 'healthy' });
    };
    tier.at('127.0.0.2').kill('SIGKILL');
    await expect.poll(pulled, { timeout: 10_000 }).toBe(1);
    await agent.replicas({ healthy: 1, failed: 0, connecting: 0 });
  });
});
