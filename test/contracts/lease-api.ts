import { describe, expect, test } from 'vitest';
import type { Holder, LeaseApi, LeaseRecord } from '../../shared-tier/leases/lease-api.ts';

/** Makes a place without leases, and as many clients of it as are wanted. */
export type MakeLeaseApi = () => Promise<{ readonly client: () => LeaseApi } & AsyncDisposable>;

export function holderOf(identity: string): Holder {
  return { identity, address: `${identity}.test:5061`, storeId: 'store' };
}

function claimOf(identity: string, durationMs = 15_000) {
  return { holder: holderOf(identity), durationMs };
}

/** For what must be there. */
function present<T>(value: T | undefined): T {
  if (value === undefined) throw new Error('it is not there');
  return value;
}

async function created(api: LeaseApi, name: string, identity: string): Promise<LeaseRecord> {
  return present(await api.create(name, claimOf(identity)));
}

/** What every place for leases does, whoever else uses it at the same time. */
export function leaseApiContract(name: string, make: MakeLeaseApi): void {
  describe(`${name} as a place for leases`, () => {
    test('lets one of many create a lease, and tells all whose it is', async () => {
      await using place = await make();
      const clients = Array.from({ length: 20 }, (_each, index) => ({ api: place.client(), who: `replica-${index}` }));
      const made = await Promise.all(clients.map(({ api, who }) => api.create('circ-a', claimOf(who))));
      const winners = made.filter((record) => record !== undefined);
      expect(winners).toHaveLength(1);
      const seen = await Promise.all(clients.map(({ api }) => api.read('circ-a')));
      for (const record of seen) expect(record).toEqual(winners[0]);
      expect(winners[0]).toMatchObject({ name: 'circ-a', durationMs: 15_000, transitions: 0 });
      expect(winners[0]?.holder.address).toBe(`${winners[0]?.holder.identity}.test:5061`);
    });

    test('has no lease that nobody has created', async () => {
      await using place = await make();
      expect(await place.client().read('circ-none')).toBeUndefined();
      expect(await place.client().list()).toEqual([]);
    });

    test('renews a lease for its holder: another version of the same lease', async () => {
      await using place = await make();
      const api = place.client();
      const first = await created(api, 'circ-a', 'one');
      const second = present(await api.update(first, claimOf('one')));
      expect(second.version).not.toBe(first.version);
      expect({ ...second, version: '' }).toEqual({ ...first, version: '' });
      expect(await api.read('circ-a')).toEqual(second);
    });

    test('takes a lease over for another holder, and counts that', async () => {
      await using place = await make();
      const first = await created(place.client(), 'circ-a', 'one');
      const second = present(await place.client().update(first, claimOf('two', 30_000)));
      expect(second).toMatchObject({ uid: first.uid, holder: holderOf('two'), durationMs: 30_000, transitions: 1 });
    });

    test('writes nothing over what the writer has not seen', async () => {
      await using place = await make();
      const first = await created(place.client(), 'circ-a', 'one');
      const rivals = Array.from({ length: 8 }, (_each, index) => `rival-${index}`);
      const written = await Promise.all(rivals.map((who) => place.client().update(first, claimOf(who))));
      const winners = written.filter((record) => record !== undefined);
      expect(winners).toHaveLength(1);
      expect(await place.client().update(first, claimOf('one'))).toBeUndefined();
      expect(await place.client().read('circ-a')).toEqual(winners[0]);
    });

    test('deletes a lease only as it was seen', async () => {
      await using place = await make();
      const api = place.client();
      const first = await created(api, 'circ-a', 'one');
      const second = present(await api.update(first, claimOf('two')));
      expect(await api.delete(first)).toBe(false);
      expect(await api.read('circ-a')).toEqual(second);
      expect(await api.delete(second)).toBe(true);
      expect([await api.read('circ-a'), await api.delete(second)]).toEqual([undefined, false]);
    });

    test('does not mistake a new lease for an old one of the same name', async () => {
      await using place = await make();
      const api = place.client();
      const old = await created(api, 'circ-a', 'one');
      await api.delete(old);
      const fresh = await created(api, 'circ-a', 'two');
      expect(fresh.uid).not.toBe(old.uid);
      expect([await api.update(old, claimOf('one')), await api.delete(old)]).toEqual([undefined, false]);
      expect(await api.read('circ-a')).toEqual(fresh);
    });

    test('lists all of them', async () => {
      await using place = await make();
      const names = ['circ-a', 'circ-b', 'circ-c'];
      const made = await Promise.all(names.map((each) => created(place.client(), each, 'one')));
      const listed = await place.client().list();
      expect(listed.toSorted((a, b) => a.name.localeCompare(b.name))).toEqual(made);
    });
  });
}
