import { describe, expect, test } from 'vitest';
import { bytesOf, MIB, failureOf, placeOf, rightsAt } from './fixtures.ts';
import { SLOW, blob, bytes, cluster, digest, gets, here, opened, read, received } from './once-fixture.ts';

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
