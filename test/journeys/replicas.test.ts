import { describe, expect, test } from 'vitest';
import { generatedBlob } from '../support/blobs.ts';
import { type RunningAgent, startReplicas } from '../support/house-replicas.ts';
import { ask } from '../support/origin-client.ts';

const MIB = 1024 * 1024;
/** A second is what failed replicas may cost; the rest is for busy machines. Without noticing it is thirteen. */
const AT_MOST_MS = 6_000;
const LAYERS = Array.from({ length: 8 }, (_, index) => generatedBlob(MIB, index + 1));

async function timed<T>(work: () => Promise<T>): Promise<{ ms: number; result: T }> {
  const startedAt = performance.now();
  const result = await work();
  return { ms: performance.now() - startedAt, result };
}

async function failovers(agent: RunningAgent): Promise<number> {
  return (await agent.metrics()).sum('circ_tier_failovers_total');
}

describe('replicas of the shared tier', () => {
  test('that freeze cost a pull a second, however many, the next one nothing, and come back', async () => {
    await using tier = await startReplicas(4);
    const { manifest } = await tier.origin.addImage('org/app', 'v1', { layers: LAYERS });
    const agent = await tier.agent();
    const [first, second, ...others] = tier.preferred('registry.test/org/app');
    for (const host of [first, second ?? '']) tier.at(host).kill('SIGSTOP');
    const pulling = await timed(() => agent.pull('org/app', 'v1'));
    expect(pulling.result).toMatchObject({ manifests: [manifest.digest], blobs: { length: 9 } });
    expect(pulling.ms).toBeLessThan(AT_MOST_MS);
    await agent.replicas({ healthy: 2, failed: 2 });

    // Nobody is asked who has failed before.
    const before = await failovers(agent);
    expect(before).toBeGreaterThan(0);
    await agent.pull('org/app', 'v1');
    expect(await failovers(agent)).toBe(before);

    // With nobody left, containerd is to go on to the origin.
    for (const host of others) tier.at(host).kill('SIGSTOP');
    const url = agent.url('manifests', 'org/app', 'v1');
    const noticing = await timed(() => ask(url, { method: 'HEAD' }));
    expect(noticing.result).toMatchObject({ status: 503 });
    expect(noticing.ms).toBeLessThan(AT_MOST_MS);
    const refused = await timed(() => ask(url, { method: 'HEAD' }));
    expect(refused.result).toMatchObject({ status: 503 });
    expect(refused.ms).toBeLessThan(500);

    for (const host of tier.hosts) tier.at(host).kill('SIGCONT');
    await agent.replicas({ healthy: 4 });
    await agent.pull('org/app', 'v1');
  }, 40_000);

  test('that end are left at once, those that are told to stop before that, and asked again when they are back', async () => {
    await using tier = await startReplicas(2);
    const { layers } = await tier.origin.addImage('org/app', 'v1', { layers: [generatedBlob(4 * MIB)] });
    const { digest = '' } = layers[0] ?? {};
    const agent = await tier.agent();
    const [killed] = tier.preferred('registry.test/org/app');
    tier.at(killed).kill('SIGKILL');
    expect((await timed(() => agent.pull('org/app', 'v1'))).ms).toBeLessThan(AT_MOST_MS);
    await agent.replicas({ healthy: 1, failed: 1 });
    await tier.start(killed);
    await agent.replicas({ healthy: 2 });

    // What it sends goes on; nothing new is asked of it.
    await tier.origin.addImage('org/other', 'v1', { layers: LAYERS });
    tier.origin.when({ kind: 'blob', method: 'GET', repository: 'org/app' }, { bytesPerSecondPerConnection: 2 * MIB });
    const some = Promise.withResolvers<void>();
    const reading = agent.blob('org/app', digest, { onPiece: () => some.resolve() });
    await some.promise;
    tier.at(tier.preferred(digest)[0]).kill('SIGTERM');
    await agent.replicas({ healthy: 1, failed: 1 });
    const before = await failovers(agent);
    await agent.pull('org/other', 'v1');
    expect(await failovers(agent)).toBe(before);
    expect(await reading).toMatchObject({ digest, isWhole: true });
  }, 40_000);
});
