import * as fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { type Caller, Grants } from '../../agent/grants.ts';
import { Authorization } from '../../oci/authorization.ts';
import { digestOf } from '../../oci/digest.ts';
import { parseRegistry, parseRepository } from '../../oci/reference.ts';
import { takeClock } from '../support/house-clock.ts';

function caller(repository = 'org/app', registry = 'registry.test', token?: string): Caller {
  const of = parseRegistry(registry);
  const authorization = token === undefined ? undefined : Authorization.bearer(token);
  return { registry: of, repository: parseRepository(repository, of), form: 'ns', authorization };
}

const OBJECT = { mediaType: 'application/octet-stream', digest: digestOf(Buffer.from('a')), sizeBytes: 1 };
const TOKEN = Buffer.from('sealed');

describe('Grants', () => {
  test('know nothing at first', () => {
    const grants = new Grants().of(caller());
    expect(grants.token).toHaveLength(0);
    expect(grants.readable(OBJECT.digest)).toBeUndefined();
  });

  test('know what was granted until the end of the grant, and not longer', async () => {
    using clock = takeClock();
    const grants = new Grants();
    grants.of(caller()).learn(lasting(1_000), [OBJECT]);
    await clock.forward(900);
    expect(grants.of(caller()).token).toEqual(TOKEN);
    expect(grants.of(caller()).readable(OBJECT.digest)).toEqual(OBJECT);
    await clock.forward(101);
    expect(grants.of(caller()).token).toHaveLength(0);
    expect(grants.of(caller()).readable(OBJECT.digest)).toBeUndefined();
  });

  test('are not prolonged by being looked at', async () => {
    using clock = takeClock();
    const grants = new Grants().of(caller());
    grants.learn(lasting(1_000), [OBJECT]);
    for (let at = 0; at < 1_000; at += 100) {
      grants.readable(OBJECT.digest);
      expect(grants.token.length).toBeGreaterThanOrEqual(0);
      await clock.forward(100);
    }
    await clock.forward(1);
    expect(grants.readable(OBJECT.digest)).toBeUndefined();
    expect(grants.token).toHaveLength(0);
  });

  test('learn nothing from an answer without a grant, or with one that has ended', () => {
    const grants = new Grants().of(caller());
    grants.learn(undefined, [OBJECT]);
    grants.learn(lasting(0), [OBJECT]);
    expect(grants.token).toHaveLength(0);
    expect(grants.readable(OBJECT.digest)).toBeUndefined();
  });

  test('hold for their own repository of their own registry only', () => {
    const grants = new Grants();
    grants.of(caller()).learn(lasting(1_000), [OBJECT]);
    for (const other of [
      caller('org/other'),
      caller('org'),
      caller('org/app', 'other.test'),
      caller('test/org/app', 'a'),
    ]) {
      expect(grants.of(other).token).toHaveLength(0);
      expect(grants.of(other).readable(OBJECT.digest)).toBeUndefined();
    }
  });

  test('hold for their own caller only: another one’s, and nobody’s, are not theirs', () => {
    const who = [undefined, 'a', 'b', 'a '].map((token) => caller('org/app', 'registry.test', token));
    for (const [index, granted] of who.slice(0, 3).entries()) {
      const one = new Grants();
      one.of(granted).learn(lasting(1_000), [OBJECT]);
      expect(who.map((each) => one.of(each).readable(OBJECT.digest) !== undefined).indexOf(true)).toBe(index);
      expect(who.filter((each) => one.of(each).token.length > 0)).toHaveLength(1);
    }
  });

  test('never tell of anything after the latest end that was told, whatever was learnt in whatever order', async () => {
    using clock = takeClock();
    const step = fc.record({ validForMs: fc.integer({ min: 1, max: 500 }), waitMs: fc.integer({ min: 1, max: 300 }) });
    const property = fc.asyncProperty(fc.array(step, { maxLength: 8 }), async (steps) => {
      const grants = new Grants().of(caller());
      let latestEnd = 0;
      let late = 0;
      for (const { validForMs, waitMs } of steps) {
        grants.learn(lasting(validForMs), [OBJECT]);
        latestEnd = Math.max(latestEnd, Date.now() + validForMs);
        await clock.forward(waitMs);
        // A millisecond for the cache's own rounding.
        if (Date.now() > latestEnd + 1 && grants.readable(OBJECT.digest)) late += 1;
      }
      return late === 0;
    });
    const { failed, counterexample } = await fc.check(property, { numRuns: 15 });
    expect([failed, counterexample]).toEqual([false, null]);
  });
});

function lasting(ms: number): { token: Uint8Array; endsAtMs: number } {
  return { token: TOKEN, endsAtMs: Date.now() + ms };
}
