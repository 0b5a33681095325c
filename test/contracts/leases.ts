import { setTimeout as delay } from 'node:timers/promises';
import { describe, expect, test } from 'vitest';
import { OciError } from '../../oci/error.ts';
import type { Holder, LeaseApi } from '../../shared-tier/leases/lease-api.ts';
import { type Lease, Leases, type Turn } from '../../shared-tier/leases/leases.ts';
import { type MakeLeaseApi, holderOf } from './lease-api.ts';

export interface LeasesFixture {
  readonly make: MakeLeaseApi;
  /** As short as the place allows; the tests last a few of these. */
  readonly durationMs: number;
}

/** A replica, as far as leases are concerned. */
export interface Replica extends AsyncDisposable {
  readonly leases: Leases;
  readonly foreign: Holder[];
  readonly failures: OciError[];
  /** Lets its requests reach the API no more, or again: a process that is gone or frozen. */
  sever(isSevered: boolean): void;
}

/** The API as a process sees it that can be cut off from it. */
export function severable(api: LeaseApi): { readonly api: LeaseApi; readonly sever: (isSevered: boolean) => void } {
  let isSevered = false;
  const guarded = <Args extends unknown[], T>(call: (...args: Args) => Promise<T>) => {
    return async (...args: Args): Promise<T> => {
      if (isSevered) throw new OciError('UNAVAILABLE', 'this replica reaches nothing');
      return await call(...args);
    };
  };
  return {
    api: {
      create: guarded((name, claim) => api.create(name, claim)),
      read: guarded((name) => api.read(name)),
      update: guarded((seen, claim) => api.update(seen, claim)),
      delete: guarded((seen) => api.delete(seen)),
      list: guarded(() => api.list()),
    },
    sever: (value) => {
      isSevered = value;
    },
  };
}

export function replicaOf(place: LeaseApi, holder: string | Holder, durationMs: number): Replica {
  const { api, sever } = severable(place);
  const foreign: Holder[] = [];
  const failures: OciError[] = [];
  const me = typeof holder === 'string' ? holderOf(holder) : holder;
  const leases = new Leases({
    api,
    holder: () => me,
    durationMs,
    events: {
      foreignStore: (other) => foreign.push(other),
      swept: () => undefined,
      failed: (error) => failures.push(error),
    },
  });
  return {
    leases,
    foreign,
    failures,
    sever,
    [Symbol.asyncDispose]: () => leases[Symbol.asyncDispose](),
  };
}

/** The lease of a turn that must have been acquired. */
export function leaseOf(turn: Turn): Lease {
  if (turn.kind !== 'acquired') throw new Error(`the turn is ${turn.kind}`);
  return turn.lease;
}

/** Asks again and again, as who waits for a holder does. */
export async function acquireInTheEnd({ leases }: Replica, key: string, withinMs: number): Promise<Turn> {
  for (const end = performance.now() + withinMs; ;) {
    const turn = await leases.acquire(key);
    if (turn.kind === 'acquired' || performance.now() > end) return turn;
    await delay(20);
  }
}

/** What leases do for the replicas that share them, wherever they live. */
export function leasesContract(name: string, { make, durationMs }: LeasesFixture): void {
  const replicas = async (...names: readonly string[]) => {
    const stack = new AsyncDisposableStack();
    const place = stack.use(await make());
    const all = names.map((each) => stack.use(replicaOf(place.client(), each, durationMs)));
    return {
      place,
      all,
      replica: (index: number) => at(all, index),
      [Symbol.asyncDispose]: () => stack.disposeAsync(),
    };
  };

  describe(`leases in ${name}`, () => {
    test('give the turn to one of many, and tell the others where to read', async () => {
      await using them = await replicas(...Array.from({ length: 12 }, (_each, index) => `replica-${index}`));
      const turns = await Promise.all(them.all.map(({ leases }) => leases.acquire('object')));
      expect(turns.filter(({ kind }) => kind === 'acquired')).toHaveLength(1);
      const holder = holderOf(`replica-${turns.findIndex(({ kind }) => kind === 'acquired')}`);
      const others = turns.filter(({ kind }) => kind !== 'acquired');
      expect(others).toEqual(others.map(() => ({ kind: 'held', holder })));
    });

    test('do not let one object wait for another', async () => {
      await using them = await replicas('one', 'two');
      leaseOf(await them.replica(0).leases.acquire('object'));
      expect((await them.replica(1).leases.acquire('other object')).kind).toBe('acquired');
    });

    test('give the turn to the next one as soon as it is given back, and leave nothing behind', async () => {
      await using them = await replicas('one', 'two');
      await leaseOf(await them.replica(0).leases.acquire('object'))[Symbol.asyncDispose]();
      const turn = await them.replica(1).leases.acquire('object');
      expect(turn).toMatchObject({ kind: 'acquired', isTakenOver: false });
      await leaseOf(turn)[Symbol.asyncDispose]();
      expect(await them.place.client().list()).toEqual([]);
    });

    test('let who asks twice wait until the first turn is given back', async () => {
      await using them = await replicas('one');
      const { leases } = them.replica(0);
      const first = leaseOf(await leases.acquire('object'));
      const second = leases.acquire('object');
      const [, turn] = await Promise.all([first[Symbol.asyncDispose](), second]);
      expect(turn).toMatchObject({ kind: 'acquired', isTakenOver: false });
    });

    test('stay with a holder who renews, however long it takes', async () => {
      await using them = await replicas('one', 'two');
      const lease = leaseOf(await them.replica(0).leases.acquire('object'));
      const turn = await acquireInTheEnd(them.replica(1), 'object', durationMs * 3);
      expect([turn.kind, lease.lost.aborted]).toEqual(['held', false]);
    });

    test('go from a holder that died to exactly one other, when it has been seen unchanged for the duration', async () => {
      await using them = await replicas('dead', 'two', 'three', 'four');
      const [dead, ...others] = them.all;
      await dead?.leases.acquire('object');
      dead?.sever(true);
      const startedAtMs = performance.now();
      const turns = await Promise.all(
        others.map(async (other) => {
          const turn = await acquireInTheEnd(other, 'object', durationMs * 2);
          return { turn, atMs: performance.now() };
        }),
      );
      const winners = turns.filter(({ turn }) => turn.kind === 'acquired');
      expect(winners).toHaveLength(1);
      expect(winners[0]?.turn).toMatchObject({ isTakenOver: true });
      expect((winners[0]?.atMs ?? 0) - startedAtMs).toBeGreaterThanOrEqual(durationMs);
    });

    test('are judged by each replica from when it has seen them itself', async () => {
      await using them = await replicas('dead', 'two', 'late');
      await them.replica(0).leases.acquire('object');
      them.replica(0).sever(true);
      leaseOf(await acquireInTheEnd(them.replica(1), 'object', durationMs * 3));
      them.replica(1).sever(true);
      expect((await them.replica(2).leases.acquire('object')).kind).toBe('held');
    });

    test('are known to be lost by a holder that was away, which then leaves the new one’s alone', async () => {
      await using them = await replicas('frozen', 'two', 'three');
      const frozen = leaseOf(await them.replica(0).leases.acquire('object'));
      them.replica(0).sever(true);
      leaseOf(await acquireInTheEnd(them.replica(1), 'object', durationMs * 3));
      expect(frozen.lost.aborted).toBe(false);
      them.replica(0).sever(false);
      await expect.poll(() => frozen.lost.aborted, { timeout: durationMs * 3 }).toBe(true);
      await frozen[Symbol.asyncDispose]();
      expect(await them.replica(2).leases.acquire('object')).toEqual({ kind: 'held', holder: holderOf('two') });
    });

    test('stay with a holder that was away when nobody wanted them meanwhile', async () => {
      await using them = await replicas('away', 'two');
      const lease = leaseOf(await them.replica(0).leases.acquire('object'));
      them.replica(0).sever(true);
      await delay(durationMs * 2);
      them.replica(0).sever(false);
      const turn = await acquireInTheEnd(them.replica(1), 'object', durationMs * 2);
      expect([turn.kind, lease.lost.aborted]).toEqual(['held', false]);
    });

    test('of an earlier life are taken at once', async () => {
      await using them = await replicas('one');
      await them.replica(0).leases.acquire('object');
      them.replica(0).sever(true);
      await using nextLife = replicaOf(them.place.client(), 'one', durationMs);
      expect(await nextLife.leases.acquire('object')).toMatchObject({ kind: 'acquired', isTakenOver: true });
    });

    test('are swept away when their holders have gone, and only then', async () => {
      await using them = await replicas('dead', 'alive', 'broom');
      await them.replica(0).leases.acquire('of the dead');
      them.replica(0).sever(true);
      leaseOf(await them.replica(1).leases.acquire('of the living'));
      await expect
        .poll(
          async () => {
            await them.replica(2).leases.sweep();
            return (await them.place.client().list()).map(({ holder }) => holder.identity);
          },
          { timeout: durationMs * 5 },
        )
        .toEqual(['alive']);
    });

    test('of an earlier life are swept away at once, those of this one never', async () => {
      await using them = await replicas('one');
      await them.replica(0).leases.acquire('old');
      them.replica(0).sever(true);
      await using nextLife = replicaOf(them.place.client(), 'one', durationMs);
      leaseOf(await nextLife.leases.acquire('new'));
      await nextLife.leases.sweep();
      expect(await them.place.client().list()).toHaveLength(1);
      expect(await nextLife.leases.sweep()).toBeUndefined();
      expect(await them.place.client().list()).toHaveLength(1);
    });

    test('that could not be given back go as soon as the API answers again', async () => {
      await using them = await replicas('one');
      const one = them.replica(0);
      one.leases.startSweeping();
      const lease = leaseOf(await one.leases.acquire('object'));
      one.sever(true);
      await lease[Symbol.asyncDispose]();
      await expect.poll(() => one.failures.length, { timeout: durationMs * 5 }).toBeGreaterThan(1);
      expect(await them.place.client().list()).toHaveLength(1);
      one.sever(false);
      await expect.poll(() => them.place.client().list(), { timeout: durationMs * 5 }).toEqual([]);
    });

    test('are all given back by a replica that stops', async () => {
      await using them = await replicas('one', 'two');
      for (const key of ['a', 'b', 'c']) await them.replica(0).leases.acquire(key);
      await them.replica(0).leases[Symbol.asyncDispose]();
      expect(await them.place.client().list()).toEqual([]);
    });

    test('tell of a holder that fetches into another store', async () => {
      await using them = await replicas('one');
      const other = { ...holderOf('other'), storeId: 'another store' };
      await using stranger = replicaOf(them.place.client(), other, durationMs);
      await them.replica(0).leases.acquire('object');
      expect(stranger.leases.hasMetForeignStore).toBe(false);
      for (const key of ['object', 'object']) expect((await stranger.leases.acquire(key)).kind).toBe('held');
      expect([stranger.foreign, stranger.leases.hasMetForeignStore]).toEqual([[holderOf('one')], true]);
    });

    test('say when nobody can tell', async () => {
      await using them = await replicas('one');
      them.replica(0).sever(true);
      expect(await them.replica(0).leases.acquire('object')).toMatchObject({
        kind: 'uncoordinated',
        reason: { code: 'UNAVAILABLE' },
      });
    });
  });
}

function at<T>(list: readonly T[], index: number): T {
  const value = list[index];
  if (value === undefined) throw new Error(`there is no number ${index}`);
  return value;
}
