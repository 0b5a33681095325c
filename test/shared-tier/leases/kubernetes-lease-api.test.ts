import { describe, expect, test } from 'vitest';
import {
  KubernetesLeaseApi,
  type LeaseResult,
  type LeaseVerb,
} from '../../../shared-tier/leases/kubernetes-lease-api.ts';
import { holderOf, leaseApiContract } from '../../contracts/lease-api.ts';
import { leaseOf, leasesContract, replicaOf } from '../../contracts/leases.ts';
import { type Mood, type TestLeaseApi, startLeaseApi } from '../../support/lease-api.ts';

const DURATION_MS = 1_000;

async function make() {
  const stack = new AsyncDisposableStack();
  const server = stack.use(await startLeaseApi());
  const reports: [LeaseVerb, LeaseResult][] = [];
  const client = (options?: { answerMs?: number }) => {
    const api = stack.use(server.client(options));
    return new KubernetesLeaseApi({
      api,
      namespace: server.namespace,
      report: (verb, result) => reports.push([verb, result]),
    });
  };
  return { server, client, reports, [Symbol.asyncDispose]: () => stack.disposeAsync() };
}

leaseApiContract('the Kubernetes API', make);
leasesContract('the Kubernetes API', { make, durationMs: DURATION_MS });

const claim = { holder: holderOf('one'), durationMs: 15_000 };

describe('a lease in Kubernetes', () => {
  test('says who holds it, since when and for how long, and where its bytes are', async () => {
    await using place = await make();
    const before = Date.now();
    const made = await place.client().create('circ-a', claim);
    expect(place.server.leases).toHaveLength(1);
    const [lease] = place.server.leases;
    expect(lease).toMatchObject({
      metadata: {
        name: 'circ-a',
        labels: { 'app.kubernetes.io/name': 'circ', 'app.kubernetes.io/component': 'fetch' },
        annotations: { 'circ/holder-address': 'one.test:5061', 'circ/store-id': 'store' },
      },
      spec: { holderIdentity: 'one', leaseDurationSeconds: 15, leaseTransitions: 0 },
    });
    for (const time of ['acquireTime', 'renewTime']) {
      expect(lease?.spec[time]).toMatch(/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z$/);
      expect(Date.parse(String(lease?.spec[time]))).toBeGreaterThanOrEqual(before - 1);
    }
    expect(made).toEqual(await place.client().read('circ-a'));
  });

  test('is renewed at its time of renewal only, and has another time of acquisition with another holder', async () => {
    await using place = await make();
    const api = place.client();
    const made = await api.create('circ-a', claim);
    const first = place.server.leases[0]?.spec;
    const renewed = made && (await api.update(made, claim));
    const second = place.server.leases[0]?.spec;
    expect(second?.['acquireTime']).toBe(first?.['acquireTime']);
    expect(renewed && (await api.update(renewed, { ...claim, holder: holderOf('two') }))).toBeDefined();
    const third = place.server.leases[0]?.spec;
    expect(third).toMatchObject({ holderIdentity: 'two', leaseTransitions: 1 });
    expect(Date.parse(String(third?.['acquireTime']))).toBeGreaterThanOrEqual(Date.parse(String(first?.['renewTime'])));
  });

  test('of somebody else’s is neither listed nor swept', async () => {
    await using place = await make();
    place.server.put('kube-scheduler', { spec: { holderIdentity: 'one', leaseDurationSeconds: 1 } });
    await using one = replicaOf(place.client(), 'one', DURATION_MS);
    await one.leases.sweep();
    expect([await place.client().list(), place.server.leases.length]).toEqual([[], 1]);
  });

  test.each([
    ['long ago', '2001-01-01T00:00:00.000000Z'],
    ['in a far future', '2101-01-01T00:00:00.000000Z'],
    ['never', undefined],
  ])(
    'that was renewed %s by its holder’s clock is believed for its duration all the same',
    async (_when, renewTime) => {
      await using place = await make();
      await using two = replicaOf(place.client(), 'two', DURATION_MS);
      leaseOf(await two.leases.acquire('object'));
      const [lease] = place.server.leases;
      if (!lease) throw new Error('there is no lease');
      const spec = { holderIdentity: 'one', leaseDurationSeconds: 1, ...(renewTime !== undefined && { renewTime }) };
      place.server.put(lease.metadata.name, { spec });
      await using three = replicaOf(place.client(), 'three', DURATION_MS);
      const startedAtMs = performance.now();
      expect((await three.leases.acquire('object')).kind).toBe('held');
      await expect.poll(async () => (await three.leases.acquire('object')).kind, { timeout: 5_000 }).toBe('acquired');
      expect(performance.now() - startedAtMs).toBeGreaterThanOrEqual(DURATION_MS);
    },
  );

  test('costs two writes when nobody else wants it, over connections that stay', async () => {
    await using place = await make();
    await using one = replicaOf(place.client(), 'one', DURATION_MS);
    for (const key of ['a', 'b', 'c', 'd']) await leaseOf(await one.leases.acquire(key))[Symbol.asyncDispose]();
    expect([place.server.requests.length, place.server.count('create'), place.server.count('delete')]).toEqual([
      8, 4, 4,
    ]);
    expect(place.server.connections).toBeLessThan(3);
  });

  test('that is held costs those who wait no writes', async () => {
    await using place = await make();
    await using one = replicaOf(place.client(), 'one', 60_000);
    await using two = replicaOf(place.client(), 'two', 60_000);
    leaseOf(await one.leases.acquire('object'));
    for (let asked = 0; asked < 5; asked += 1) await two.leases.acquire('object');
    expect([place.server.leases.length, place.server.count('create'), place.server.count('update')]).toEqual([1, 2, 0]);
  });
});

describe('a Kubernetes API that does not work', () => {
  test.each<[string, Mood, LeaseResult]>([
    ['answers 429', { status: 429 }, 'unavailable'],
    ['answers 500', { status: 500 }, 'unavailable'],
    ['answers 503', { status: 503 }, 'unavailable'],
    ['has no such namespace', { status: 404 }, 'absent'],
    ['does not let us', { status: 403 }, 'refused'],
    ['does not know us', { status: 401 }, 'refused'],
    ['does not answer in time', { delayMs: 3_000 }, 'unavailable'],
    ['hangs up', { losesAnswer: true }, 'unavailable'],
  ])('and %s leaves the turn uncoordinated, within a little more than a second', async (_how, mood, result) => {
    await using place = await make();
    place.server.mood = mood;
    await using one = replicaOf(place.client(), 'one', DURATION_MS);
    const startedAtMs = performance.now();
    const turn = await one.leases.acquire('object');
    expect(turn).toMatchObject({ kind: 'uncoordinated', reason: { code: 'UNAVAILABLE' } });
    expect(performance.now() - startedAtMs).toBeLessThan(2_000);
    expect(place.reports).toEqual([['create', result]]);
  });

  test('and says 409 to everything leaves the turn uncoordinated after a few tries', async () => {
    await using place = await make();
    place.server.mood = { verb: 'create', status: 409 };
    await using one = replicaOf(place.client(), 'one', DURATION_MS);
    expect(await one.leases.acquire('object')).toMatchObject({
      kind: 'uncoordinated',
      reason: { code: 'UNAVAILABLE' },
    });
    expect(place.server.requests.length).toBeLessThanOrEqual(6);
  });

  test('and says 409 to renewals leaves a lease with its holder, who gives it back', async () => {
    await using place = await make();
    await using one = replicaOf(place.client(), 'one', DURATION_MS);
    const lease = leaseOf(await one.leases.acquire('object'));
    place.server.mood = { verb: 'update', status: 409 };
    await expect.poll(() => place.server.count('update'), { timeout: 5_000 }).toBeGreaterThan(1);
    expect(lease.lost.aborted).toBe(false);
    place.server.mood = {};
    await lease[Symbol.asyncDispose]();
    expect(place.server.leases).toEqual([]);
  });

  test('and is slow costs a turn the time of one call, and its holder nothing', async () => {
    await using place = await make();
    place.server.mood = { delayMs: 600 };
    await using one = replicaOf(place.client(), 'one', DURATION_MS);
    await using two = replicaOf(place.client(), 'two', DURATION_MS);
    const lease = leaseOf(await one.leases.acquire('object'));
    await expect.poll(() => place.server.count('update'), { timeout: 10_000 }).toBeGreaterThan(2);
    expect([(await two.leases.acquire('object')).kind, lease.lost.aborted]).toEqual(['held', false]);
    await lease[Symbol.asyncDispose]();
    expect(place.server.leases).toEqual([]);
  });

  test('tells the operator what it does not allow', async () => {
    await using place = await make();
    place.server.mood = { status: 403 };
    await expect(place.client().create('circ-a', claim)).rejects.toThrow(
      'the Kubernetes API does not let the shared tier create leases in circ-system',
    );
  });

  test('and is away is asked anew for each object, and works again when it is back', async () => {
    await using place = await make();
    await using one = replicaOf(place.client(), 'one', DURATION_MS);
    await place.server.down();
    expect((await one.leases.acquire('object')).kind).toBe('uncoordinated');
    await place.server.up();
    expect((await one.leases.acquire('object')).kind).toBe('acquired');
  });

  test('and restarts while a lease is held leaves it with its holder', async () => {
    await using place = await make();
    await using one = replicaOf(place.client(), 'one', DURATION_MS);
    const lease = leaseOf(await one.leases.acquire('object'));
    await place.server.down();
    const renewals = () =>
      place.server.requests.filter(({ verb, status }) => verb === 'update' && status === 200).length;
    await place.server.up();
    await expect.poll(renewals, { timeout: 5_000 }).toBeGreaterThan(1);
    expect(lease.lost.aborted).toBe(false);
    await lease[Symbol.asyncDispose]();
    expect(place.server.leases).toEqual([]);
  });

  test('and loses the answer to a renewal does not make its holder lose the lease', async () => {
    await using place = await make();
    await using one = replicaOf(place.client(), 'one', DURATION_MS);
    const lease = leaseOf(await one.leases.acquire('object'));
    place.server.mood = { verb: 'update', losesAnswer: true };
    await expect.poll(() => place.server.count('update'), { timeout: 5_000 }).toBeGreaterThan(0);
    place.server.mood = {};
    const renewals = () =>
      place.server.requests.filter(({ verb, status }) => verb === 'update' && status === 200).length;
    await expect.poll(renewals, { timeout: 5_000 }).toBeGreaterThan(1);
    expect(lease.lost.aborted).toBe(false);
    await lease[Symbol.asyncDispose]();
    expect(place.server.leases).toEqual([]);
  });

  test('and loses the answer to a creation leaves a lease that the same replica takes next time', async () => {
    await using place = await make();
    await using one = replicaOf(place.client(), 'one', 60_000);
    place.server.mood = { losesAnswer: true };
    expect((await one.leases.acquire('object')).kind).toBe('uncoordinated');
    expect(place.server.leases).toHaveLength(1);
    place.server.mood = {};
    expect((await one.leases.acquire('object')).kind).toBe('acquired');
  });

  test('and cannot delete leaves the lease to be swept away', async () => {
    await using place = await make();
    await using one = replicaOf(place.client(), 'one', 60_000);
    const lease = leaseOf(await one.leases.acquire('object'));
    place.server.mood = { verb: 'delete', status: 500 };
    await lease[Symbol.asyncDispose]();
    expect([place.server.leases.length, one.failures.map(({ code }) => code)]).toEqual([1, ['UNAVAILABLE']]);
    place.server.mood = {};
    await one.leases.sweep();
    expect(place.server.leases).toEqual([]);
  });

  test('and cannot list is asked again at the next sweep', async () => {
    await using place = await make();
    place.server.mood = { verb: 'list', status: 500 };
    await using one = replicaOf(place.client(), 'one', 60_000);
    await one.leases.sweep();
    expect(one.failures.map(({ code }) => code)).toEqual(['UNAVAILABLE']);
  });
});

test('replicas sweep by themselves, from their start on', async () => {
  await using place = await make();
  await using old = replicaOf(place.client(), 'one', DURATION_MS);
  await old.leases.acquire('object');
  old.sever(true);
  await using one = replicaOf(place.client(), 'one', DURATION_MS);
  one.leases.startSweeping(50);
  await expect.poll(() => leasesOf(place.server), { timeout: 5_000 }).toBe(0);
  await expect.poll(() => place.server.count('list'), { timeout: 5_000 }).toBeGreaterThan(3);
});

function leasesOf({ leases }: TestLeaseApi): number {
  return leases.length;
}
