import { describe, expect, test } from 'vitest';
import { Addresses, type Lookup, systemLookup } from '../../agent/addresses.ts';
import { takeClock } from '../support/house-clock.ts';

function addresses(lookup: Lookup) {
  const found: string[][] = [];
  const failures: unknown[] = [];
  let lookups = 0;
  const it = new Addresses({
    host: 'tier.test',
    lookup: async (host) => {
      lookups += 1;
      return await lookup(host);
    },
    found: (all) => found.push([...all]),
    failed: (reason) => failures.push(reason),
  });
  return { addresses: it, found, failures, lookups: () => lookups };
}

describe('Addresses', () => {
  test('tells each address once, of the name that was asked for', async () => {
    const it = addresses(async (host) => (host === 'tier.test' ? ['10.0.0.1', '10.0.0.2', '10.0.0.1'] : []));
    await it.addresses.refresh(0);
    expect(it.found).toEqual([['10.0.0.1', '10.0.0.2']]);
  });

  test('looks up again only when the last time is long enough ago', async () => {
    using clock = takeClock();
    const it = addresses(async () => ['10.0.0.1']);
    await it.addresses.refresh(5_000);
    await it.addresses.refresh(5_000);
    expect(it.lookups()).toBe(1);
    await clock.forward(5_000);
    await it.addresses.refresh(5_000);
    expect(it.lookups()).toBe(2);
  });

  test('has one look-up under way at most, however long it takes', async () => {
    const answer = Promise.withResolvers<string[]>();
    const it = addresses(() => answer.promise);
    const waiting = [it.addresses.refresh(0), it.addresses.refresh(0)];
    expect(it.lookups()).toBe(1);
    answer.resolve(['10.0.0.1']);
    await Promise.all(waiting);
    expect(it.found).toHaveLength(1);
  });

  test.each([
    ['fails', () => Promise.reject(new Error('ENOTFOUND'))],
    ['finds nothing', async () => []],
  ])('tells nothing new when the resolver %s', async (_name, lookup) => {
    const it = addresses(lookup);
    await it.addresses.refresh(0);
    expect(it.found).toEqual([]);
    expect(it.failures).toEqual([expect.any(Error)]);
  });
});

describe('systemLookup', () => {
  test.each([['127.0.0.1'], ['::1']])('takes the address %s as it is', async (address) => {
    expect(await systemLookup(address)).toEqual([address]);
  });

  test('asks the system for a name', async () => {
    expect(await systemLookup('localhost')).toEqual(expect.arrayContaining([expect.stringMatching(/^127\.|^::1$/)]));
  });
});
