import * as fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { Grants, type Place } from '../../agent/grants.ts';
import { digestOf } from '../../oci/digest.ts';
import { parseRegistry, parseRepository } from '../../oci/reference.ts';
import { takeClock } from '../support/house-clock.ts';

function place(repository = 'org/app', registry = 'registry.test'): Place {
  const of = parseRegistry(registry);
  return { registry: of, repository: parseRepository(repository, of) };
}

const OBJECT = { mediaType: 'application/octet-stream', digest: digestOf(Buffer.from('a')), sizeBytes: 1 };
const TOKEN = Buffer.from('sealed');

describe('Grants', () => {
  test('know nothing at first', () => {
    const grants = new Grants();
    expect(grants.token(place())).toHaveLength(0);
    expect(grants.readable(place(), OBJECT.digest)).toBeUndefined();
  });

  test('know what was granted until the end of the grant, and not longer', async () => {
    using clock = takeClock();
    const grants = new Grants();
    grants.learn(place(), { token: TOKEN, validForMs: 1_000 }, [OBJECT]);
    await clock.forward(900);
    expect(grants.token(place())).toEqual(TOKEN);
    expect(grants.readable(place(), OBJECT.digest)).toEqual(OBJECT);
    await clock.forward(101);
    expect(grants.token(place())).toHaveLength(0);
    expect(grants.readable(place(), OBJECT.digest)).toBeUndefined();
  });

  test('are not prolonged by being looked at', async () => {
    using clock = takeClock();
    const grants = new Grants();
    grants.learn(place(), { token: TOKEN, validForMs: 1_000 }, [OBJECT]);
    for (let at = 0; at < 1_000; at += 100) {
      grants.readable(place(), OBJECT.digest);
      grants.token(place());
      await clock.forward(100);
    }
    await clock.forward(1);
    expect(grants.readable(place(), OBJECT.digest)).toBeUndefined();
    expect(grants.token(place())).toHaveLength(0);
  });

  test('learn nothing from an answer without a grant, or with one that has ended', () => {
    const grants = new Grants();
    grants.learn(place(), undefined, [OBJECT]);
    grants.learn(place(), { token: TOKEN, validForMs: 0 }, [OBJECT]);
    expect(grants.token(place())).toHaveLength(0);
    expect(grants.readable(place(), OBJECT.digest)).toBeUndefined();
  });

  test('hold for their own repository of their own registry only', () => {
    const grants = new Grants();
    grants.learn(place(), { token: TOKEN, validForMs: 1_000 }, [OBJECT]);
    for (const other of [
      place('org/other'),
      place('org'),
      place('org/app', 'other.test'),
      place('test/org/app', 'a'),
    ]) {
      expect(grants.token(other)).toHaveLength(0);
      expect(grants.readable(other, OBJECT.digest)).toBeUndefined();
    }
  });

  test('never tell of anything after the latest end that was told, whatever was learnt in whatever order', async () => {
    using clock = takeClock();
    const step = fc.record({ validForMs: fc.integer({ min: 1, max: 500 }), waitMs: fc.integer({ min: 1, max: 300 }) });
    const property = fc.asyncProperty(fc.array(step, { maxLength: 8 }), async (steps) => {
      const grants = new Grants();
      let latestEnd = 0;
      let late = 0;
      for (const { validForMs, waitMs } of steps) {
        grants.learn(place(), { token: TOKEN, validForMs }, [OBJECT]);
        latestEnd = Math.max(latestEnd, Date.now() + validForMs);
        await clock.forward(waitMs);
        // A millisecond for the cache's own rounding.
        if (Date.now() > latestEnd + 1 && grants.readable(place(), OBJECT.digest)) late += 1;
      }
      return late === 0;
    });
    const { failed, counterexample } = await fc.check(property, { numRuns: 15 });
    expect([failed, counterexample]).toEqual([false, null]);
  });
});
