import { describe, expect, test } from 'vitest';
import { digestOf } from '../../oci/digest.ts';
import { PublicPlaces, type PublicRecords } from '../../shared-tier/access/public-places.ts';
import { APP, placeOf, refOf } from '../shared-tier/fixtures.ts';

/** Records of public repositories, none at first. */
export interface PublicRecordsFixture extends AsyncDisposable {
  readonly records: PublicRecords;
  /** The same records as the next process, or another replica, finds them. */
  readonly reopen: () => Promise<PublicRecords>;
  /** How many there are. */
  readonly count: () => Promise<number>;
  /** What could not be kept. */
  readonly failures: readonly unknown[];
}

const here = placeOf(APP);
const there = placeOf('org/other');
const [one, two] = [digestOf(Buffer.from('one')), digestOf(Buffer.from('two'))] as const;

/** What is remembered of public repositories, wherever it is kept. */
export function publicRecordsContract(name: string, make: () => Promise<PublicRecordsFixture>): void {
  describe(`public repositories in ${name}`, () => {
    test('are found by the next one, with what their tags meant at last', async () => {
      await using it = await make();
      const places = placesOn(it.records);
      for (const [tag, digest] of [
        ['v1', one],
        ['v2', one],
        ['v1', two],
        ['__proto__', two],
      ] as const) {
        places.proved(here, refOf(tag), digest);
      }
      await places.settled();
      const next = placesOn(await it.reopen());
      expect([await next.has(here), await next.has(there)]).toEqual([true, false]);
      const meant = ['v1', 'v2', '__proto__', 'constructor'].map((tag) => next.tag(here, tag));
      expect([meant, await it.count(), it.failures]).toEqual([[two, one, two, undefined], 1, []]);
    });

    test('are forgotten, by the next one too, when the origin refuses them', async () => {
      await using it = await make();
      const places = placesOn(it.records);
      places.proved(here, refOf('v1'), one);
      await places.settled();
      places.refused(here);
      expect([await places.has(here), places.tag(here, 'v1')]).toEqual([false, undefined]);
      await places.settled();
      expect([await it.count(), await placesOn(await it.reopen()).has(here)]).toEqual([0, false]);
    });

    test('forget a tag that is not there any more', async () => {
      await using it = await make();
      const places = placesOn(it.records);
      places.proved(here, refOf('v1'), one);
      places.gone(here, refOf('v1'));
      await places.settled();
      const next = placesOn(await it.reopen());
      expect([await next.has(here), next.tag(here, 'v1'), places.tag(here, 'v1')]).toEqual([
        true,
        undefined,
        undefined,
      ]);
    });

    test('have no more than a thousand tags, those that were noted last', async () => {
      await using it = await make();
      const places = placesOn(it.records);
      for (let index = 0; index <= 1_000; index += 1) places.proved(here, refOf(`v${index}`), one);
      await places.settled();
      const next = placesOn(await it.reopen());
      await next.has(here);
      expect(['v0', 'v1', 'v1000'].map((tag) => next.tag(here, tag))).toEqual([undefined, one, one]);
    });
  });
}

function placesOn(records: PublicRecords): PublicPlaces {
  return new PublicPlaces({ records, isEnabled: true });
}
