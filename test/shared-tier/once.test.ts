import { describe, expect, test, vi } from 'vitest';
import { digestOf } from '../../oci/digest.ts';
import { KubernetesLeaseApi } from '../../shared-tier/leases/kubernetes-lease-api.ts';
import { replicaOf as leasesReplicaOf } from '../contracts/leases.ts';
import { freezable } from '../support/freezable.ts';
import { generatedBlob, readBytes } from '../support/blobs.ts';
import { type Cluster, type TierReplica, clusterOf } from './cluster.ts';
import { APP, MIB, bytesOf, canary, failureOf, placeOf, rightsAt } from './fixtures.ts';

const blob = generatedBlob(8 * MIB + 5, 1);
const bytes = readBytes(blob);
const digest = digestOf(bytes);
const here = placeOf(APP);
const SLOW = { bytesPerSecondPerConnection: 4 * MIB };

/** The fetch of the blob at a replica, once its size is known. */
async function opened(replica: TierReplica, place = here) {
  const fetch = replica.fetches.start(replica.client(place.registry), rightsAt(place), digest);
  await fetch.opened();
  return fetch;
}

/** Reads all of the blob at a replica, as a caller does. */
async function read(replica: TierReplica): Promise<Buffer> {
  await using content = await (await opened(replica)).follow();
  return await bytesOf(content);
}

/** Waits until a replica has had so many bytes from the origin. */
async function received(replica: TierReplica, atLeast: number): Promise<void> {
  await vi.waitFor(() => expect(replica.received.bytes).toBeGreaterThanOrEqual(atLeast), {
    timeout: 10_000,
    interval: 5,
  });
}

/** Waits until a replica can serve so many bytes, wherever it has them from. */
async function served(replica: TierReplica, atLeast: number): Promise<void> {
  await using content = await (await opened(replica)).follow();
  await bytesOf(content, 0, atLeast);
}

/** Bodies of GETs that the origin has sent for the blob. */
function gets({ origin }: Cluster) {
  return origin.requests.filter(({ method }) => method === 'GET');
}

async function cluster(count: number, options: Parameters<typeof clusterOf>[1] = {}): Promise<Cluster> {
  const them = await clusterOf(count, options);
  await them.origin.addBlob(APP, blob);
  return them;
}

describe('replicas that want the same', () => {
  test('fetch it once for all of them, and each serves all of it', async () => {
    await using them = await cluster(3);
    them.origin.mood = { bytesPerSecondPerConnection: 16 * MIB };
    const all = await Promise.all(them.replicas.flatMap((replica) => [read(replica), read(replica)]));
    expect(all.every((each) => each.equals(bytes))).toBe(true);
    expect([gets(them).length, them.origin.bodyBytes(digest)]).toEqual([1, blob.sizeBytes]);
    await expect.poll(() => them.replicas.map(({ ended }) => ended.length)).toEqual([1, 1, 1]);
    expect(them.replicas.flatMap(({ duplicates }) => duplicates)).toEqual([]);
    expect(them.replicas.flatMap(({ followed }) => followed)).toHaveLength(2);
    await expect.poll(() => them.kubernetes.leases).toEqual([]);
    expect(them.kubernetes.count('create', 'update', 'delete')).toBe(4); // two writes, and two that came too late
  });

  test('give the first bytes to all callers before the last ones have come', async () => {
    await using them = await cluster(2);
    them.origin.mood = { stallAt: 2 * MIB };
    await opened(them.replica(0));
    await using content = await (await opened(them.replica(1))).follow();
    expect((await bytesOf(content, 0, MIB)).equals(bytes.subarray(0, MIB))).toBe(true);
    expect(them.replicas.flatMap(({ ended }) => ended)).toEqual([]);
    expect(them.replica(1).received.bytes).toBe(0);
  });

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

  test('each fetch it when nobody can say whose turn it is', async () => {
    await using them = await cluster(2);
    await them.kubernetes.down();
    const all = await Promise.all(them.replicas.map(read));
    expect(all.every((each) => each.equals(bytes))).toBe(true);
    expect(them.replicas.map(({ duplicates }) => duplicates)).toEqual([['uncoordinated'], ['uncoordinated']]);
    expect(them.origin.bodyBytes(digest)).toBe(2 * blob.sizeBytes);
  });

  test('ask the origin nothing for a caller who may read the repository that the other one reads from', async () => {
    await using them = await cluster(3);
    them.origin.mood = { bytesPerSecondPerConnection: 16 * MIB };
    const all = await Promise.all(them.replicas.map(read));
    expect(all.every((each) => each.equals(bytes))).toBe(true);
    expect(them.origin.requests.map(({ method }) => method)).toEqual(['GET']);
  });

  test('ask it once for a caller of another repository, and not again when it has said yes before', async () => {
    await using them = await cluster(3);
    await them.origin.addBlob('org/other', blob);
    them.origin.mood = SLOW;
    await opened(them.replica(0));
    await received(them.replica(0), 1);
    const [second, third] = [them.replica(1), them.replica(2)];
    await opened(second, placeOf('org/other'));
    const heads = () => them.origin.count({ method: 'HEAD', repository: 'org/other' });
    expect(heads()).toBe(1);
    const rights = rightsAt(placeOf('org/other'));
    await third.fetches.start(third.client(), rights, digest, { provedBytes: blob.sizeBytes }).opened();
    expect([heads(), gets(them).length, third.followed]).toEqual([1, 1, ['replica-0']]);
  });

  test('do not read from each other what the origin refuses to their callers', async () => {
    await using them = await cluster(2);
    them.origin.mood = SLOW;
    await opened(them.replica(0));
    const failure = await failureOf(opened(them.replica(1), placeOf('org/other')));
    expect(failure.code).toBe('BLOB_UNKNOWN');
    expect(await them.replica(1).records.heldAs(placeOf('org/other'), digest)).toBeUndefined();
  });

  test('find out by themselves that the origin’s content is wrong', async () => {
    await using them = await cluster(2);
    them.origin.mood = { lie: true, bytesPerSecondPerConnection: 16 * MIB };
    const failures = await Promise.all(them.replicas.map((replica) => failureOf(read(replica))));
    expect(failures.map(({ code }) => code)).toEqual(['CORRUPT', 'CORRUPT']);
    await expect.poll(() => them.kubernetes.leases).toEqual([]);
  });
});

describe('a turn', () => {
  test('of what came into the store just before costs the origin a question, no bytes', async () => {
    await using them = await cluster(1);
    const replica = them.replica(0);
    await read(replica);
    await expect.poll(() => replica.ended).toHaveLength(1);
    const before = gets(them).length;
    const other = placeOf('org/other');
    await them.origin.addBlob(other.repository, blob);
    await opened(replica, other);
    expect(await replica.records.heldAs(other, digest)).toBe('application/octet-stream');
    expect([gets(them).length, replica.fetches.count]).toEqual([before, 0]);
    await using content = await replica.images.read(here, digest);
    expect((await bytesOf(content)).equals(bytes)).toBe(true);
    // It is known here that it has just come: the second one needed no lease.
    expect(them.kubernetes.count('create')).toBe(1);
    await expect.poll(() => them.kubernetes.leases).toEqual([]);
  });

  test('tells where to read, and nothing of what is fetched, from where, or for whom', async () => {
    await using them = await cluster(1);
    them.origin.mood = { stallAt: 2 * MIB };
    await opened(them.replica(0));
    expect(them.kubernetes.leases).toEqual([
      {
        metadata: {
          name: expect.stringMatching(/^circ-[0-9a-f]{40}$/),
          uid: expect.any(String),
          resourceVersion: expect.any(String),
          labels: { 'app.kubernetes.io/name': 'circ', 'app.kubernetes.io/component': 'fetch' },
          annotations: { 'circ/holder-address': expect.stringMatching(/^127\.0\.0\.1:\d+$/), 'circ/store-id': 'store' },
        },
        spec: {
          holderIdentity: 'replica-0',
          leaseDurationSeconds: 15,
          leaseTransitions: 0,
          acquireTime: expect.any(String),
          renewTime: expect.any(String),
        },
      },
    ]);
    expect(JSON.stringify(them.kubernetes.leases)).not.toContain(digest.split(':')[1]?.slice(0, 40));
  });

  test('is given back by a fetch that nobody waits for, and taken again by who comes back', async () => {
    await using them = await cluster(2, { lingerMs: 100, parkMs: 60_000 });
    them.origin.mood = SLOW;
    await opened(them.replica(0));
    await them.origin.idle();
    await expect.poll(() => them.kubernetes.leases).toEqual([]);
    const had = them.replica(0).received.bytes;
    expect(had).toBeLessThan(blob.sizeBytes);
    them.origin.calm();
    expect((await read(them.replica(0))).equals(bytes)).toBe(true);
    expect(them.replica(0).received.bytes).toBe(blob.sizeBytes);
  });

  test('is given back by a fetch that the origin refuses', async () => {
    await using them = await cluster(1);
    them.origin.mood = { status: 404 };
    expect((await failureOf(opened(them.replica(0)))).code).toBe('BLOB_UNKNOWN');
    await expect.poll(() => them.kubernetes.leases).toEqual([]);
  });

  test('of another replica serves one who comes back to what he had begun with', async () => {
    await using them = await cluster(2, { lingerMs: 100, parkMs: 60_000 });
    them.origin.mood = SLOW;
    await opened(them.replica(0));
    await them.origin.idle();
    const had = them.replica(0).received.bytes;
    them.origin.mood = { bytesPerSecondPerConnection: 16 * MIB };
    const other = read(them.replica(1));
    await received(them.replica(1), 1);
    expect((await read(them.replica(0))).equals(bytes)).toBe(true);
    expect([(await other).equals(bytes), them.replica(0).received.bytes]).toEqual([true, had]);
  });
});
