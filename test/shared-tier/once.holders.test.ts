import { describe, expect, test, vi } from 'vitest';
import { KubernetesLeaseApi } from '../../shared-tier/leases/kubernetes-lease-api.ts';
import { replicaOf as leasesReplicaOf } from '../contracts/leases.ts';
import { freezable } from '../support/freezable.ts';
import { MIB, canary } from './fixtures.ts';
import { SLOW, blob, bytes, cluster, digest, gets, opened, read, received, served } from './once-fixture.ts';

describe('replicas whose holder stops, dies, freezes or cannot be reached', () => {
  test('read on where they are when the one that fetches stops, and ask the origin for the rest only', async () => {
    await using them = await cluster(2);
    them.origin.mood = SLOW;
    const first = await opened(them.replica(0));
    await received(them.replica(0), MIB);
    const reading = read(them.replica(1));
    await expect.poll(() => them.replica(1).followed).toEqual(['replica-0']);
    await served(them.replica(1), 3 * MIB);
    them.origin.calm();
    await them.replica(0).fetches[Symbol.asyncDispose]();
    expect((await reading).equals(bytes)).toBe(true);
    expect(first.digest).toBe(digest);
    expect(them.replica(1).received.bytes).toBeLessThan(blob.sizeBytes - 2 * MIB);
    expect(them.replica(1).duplicates).toEqual(['taken-over']);
  });

  test('take over from one that dies when its lease has been seen unchanged for its duration', async () => {
    await using them = await cluster(3, { durationMs: 1_000 });
    them.origin.mood = SLOW;
    await opened(them.replica(0));
    await received(them.replica(0), MIB);
    const readings = [read(them.replica(1)), read(them.replica(2))];
    await expect.poll(() => them.replicas.flatMap(({ followed }) => followed)).toHaveLength(2);
    await Promise.all([served(them.replica(1), 3 * MIB), served(them.replica(2), 3 * MIB)]);
    them.origin.calm();
    await them.replica(0).kill();
    const killedAtMs = performance.now();
    for (const each of await Promise.all(readings)) expect(each.equals(bytes)).toBe(true);
    // The duration and two seconds more, by contract, and two for the machine.
    expect(performance.now() - killedAtMs).toBeLessThan(5_000);
    expect(them.replicas.flatMap(({ duplicates }) => duplicates)).toEqual(['taken-over']);
    const again = them.replica(1).received.bytes + them.replica(2).received.bytes;
    expect(again).toBeLessThan(blob.sizeBytes - 2 * MIB);
    await expect.poll(() => them.kubernetes.leases).toEqual([]);
  });

  test('take over from one that is frozen as soon as from one that dies', async () => {
    await using them = await cluster(2, { durationMs: 1_000 });
    await using way = await freezable(them.replica(0).port);
    them.replica(0).pretendToBeAt(way.address);
    them.origin.mood = SLOW;
    await opened(them.replica(0));
    const reading = read(them.replica(1));
    await served(them.replica(1), MIB);
    them.origin.calm();
    them.replica(0).sever(true);
    way.freeze();
    const frozenAtMs = performance.now();
    expect((await reading).equals(bytes)).toBe(true);
    // The duration and two seconds more, and two for the machine; without asking the holder it would be 15 s more.
    expect(performance.now() - frozenAtMs).toBeLessThan(5_000);
    expect(them.replica(1).duplicates).toEqual(['taken-over']);
  });

  test('count what may come twice when the lease of one that died was swept away before anybody took it over', async () => {
    await using them = await cluster(2);
    them.origin.mood = SLOW;
    await opened(them.replica(0));
    const reading = read(them.replica(1));
    await served(them.replica(1), MIB);
    them.origin.calm();
    await them.replica(0).kill();
    // As the next life of a container does that has crashed: it has the name of its pod again.
    await using client = them.kubernetes.client();
    const { namespace } = them.kubernetes;
    const api = new KubernetesLeaseApi({ api: client, namespace, report: () => undefined });
    await using nextLife = leasesReplicaOf(api, 'replica-0', 15_000);
    await nextLife.leases.sweep();
    expect((await reading).equals(bytes)).toBe(true);
    expect(them.replica(1).received.bytes).toBeGreaterThan(0);
    expect(them.replica(1).duplicates).toEqual(['taken-over']);
  });

  test('do not take over from one that serves them, though its lease is not renewed', async () => {
    await using them = await cluster(2, { durationMs: 1_000 });
    them.origin.mood = { bytesPerSecondPerConnection: 3 * MIB };
    await opened(them.replica(0));
    them.replica(0).sever(true);
    expect((await read(them.replica(1))).equals(bytes)).toBe(true);
    expect([gets(them).length, them.replica(1).received.bytes]).toEqual([1, 0]);
    expect(them.replica(1).duplicates).toEqual([]);
  });

  test('go on by themselves when the one that fetches is alive and cannot be reached', async () => {
    await using nobody = await canary();
    await using them = await cluster(2, { durationMs: 1_000 });
    them.origin.when({ digest }, { stallAt: MIB });
    them.replica(0).pretendToBeAt(`127.0.0.1:${nobody.port}`);
    await opened(them.replica(0));
    them.origin.calm();
    expect((await read(them.replica(1))).equals(bytes)).toBe(true);
    expect(them.replica(1).duplicates).toEqual(['unreachable']);
    expect(nobody.connections).toBeGreaterThan(1);
  });

  test('follow the one that has taken over from them while they were away', async () => {
    await using nobody = await canary();
    await using them = await cluster(2, { durationMs: 1_000 });
    them.origin.mood = { bytesPerSecondPerConnection: 2 * MIB };
    const away = them.replica(0);
    away.pretendToBeAt(`127.0.0.1:${nobody.port}`);
    const reading = read(away);
    await received(away, 1);
    away.sever(true);
    const other = read(them.replica(1));
    await vi.waitFor(() => expect(them.replica(1).duplicates).toEqual(['taken-over']), 10_000);
    away.sever(false);
    await vi.waitFor(() => expect(away.followed).toEqual(['replica-1']), 10_000);
    them.origin.calm();
    for (const each of await Promise.all([reading, other])) expect(each.equals(bytes)).toBe(true);
    expect(away.received.bytes).toBeLessThan(blob.sizeBytes);
  });
});
