import { describe, expect, test } from 'vitest';
import type { Digest } from '../../oci/digest.ts';
import { parseRegistry } from '../../oci/reference.ts';
import { type Records, placeKey, placeOfKey } from '../../shared-tier/records.ts';
import { sample } from '../content/fixtures.ts';
import { REGISTRY, placeOf } from '../shared-tier/fixtures.ts';

/** Records of a store that is empty at first. */
export interface RecordsFixture extends AsyncDisposable {
  readonly records: Records;
  /** Puts content into the store. */
  readonly put: (digest: Digest, bytes: Uint8Array) => Promise<void>;
  /** Removes it. */
  readonly remove: (digest: Digest) => Promise<void>;
  /** The same records as the next process, or another replica, finds them. */
  readonly reopen: () => Promise<Records>;
  /** What could not be kept. */
  readonly failures: readonly unknown[];
}

const { bytes, digest: D } = sample(100);
const OTHER = parseRegistry('other.test');
const here = placeOf('org/app');
const there = placeOf('org/other');
const JSON_TYPE = 'application/json';

/** What all records do, wherever they are kept. */
export function recordsContract(name: string, make: () => Promise<RecordsFixture>): void {
  /** With content that is in the store. */
  const stored = async (): Promise<RecordsFixture> => {
    const it = await make();
    await it.put(D, bytes);
    return it;
  };

  describe(`what is recorded in ${name}`, () => {
    test('is nothing of content that nobody delivered', async () => {
      await using it = await stored();
      const { records } = it;
      expect([await records.hasFrom(REGISTRY, D), await records.heldAs(here, D)]).toEqual([false, undefined]);
    });

    test('is that a registry delivered content, from the repository it was fetched from only', async () => {
      await using it = await stored();
      const { records } = it;
      await records.fetched(here, D, JSON_TYPE);
      expect([await records.hasFrom(REGISTRY, D), await records.heldAs(here, D)]).toEqual([true, JSON_TYPE]);
      expect([await records.heldAs(there, D), await records.hasFrom(OTHER, D)]).toEqual([undefined, false]);
      expect(await records.heldAs(placeOf('org/app', OTHER), D)).toBeUndefined();
    });

    test('of a deletion is that the repository does not hold it any more, and whether another one does', async () => {
      await using it = await stored();
      const { records } = it;
      expect(await records.deleted(here, D)).toBe(false);
      await records.fetched(here, D, JSON_TYPE);
      records.proved(there, D, JSON_TYPE);
      await records.settled();
      expect(await records.deleted(here, D)).toBe(false);
      expect([await records.heldAs(here, D), await records.heldAs(there, D)]).toEqual([undefined, JSON_TYPE]);
      expect(await records.deleted(there, D)).toBe(true);
      await records.settled();
      expect(await (await it.reopen()).heldAs(there, D)).toBeUndefined();
    });

    test('tells which repositories hold content, for as long as it is there', async () => {
      await using it = await stored();
      const { records } = it;
      expect(await records.placesOf(D)).toEqual([]);
      await records.fetched(here, D, JSON_TYPE);
      records.proved(there, D, JSON_TYPE);
      await records.settled();
      expect(await records.placesOf(D)).toEqual([placeKey(here), placeKey(there)]);
      expect((await records.placesOf(D)).map(placeOfKey)).toEqual([here, there]);
      await it.remove(D);
      expect(await records.placesOf(D)).toEqual([]);
    });

    test('of a proof is that the repository holds the content, not that its registry delivered it', async () => {
      await using it = await stored();
      const { records } = it;
      await records.fetched(here, D, JSON_TYPE);
      records.proved(there, D, JSON_TYPE);
      records.proved(placeOf('org/app', OTHER), D, JSON_TYPE);
      await records.settled();
      expect([await records.heldAs(there, D), await records.hasFrom(OTHER, D)]).toEqual([JSON_TYPE, false]);
    });

    test('is nothing of a proof on content that is not stored', async () => {
      await using it = await make();
      const { records } = it;
      records.proved(here, D, JSON_TYPE);
      await records.settled();
      expect(await records.heldAs(here, D)).toBeUndefined();
      expect(await (await it.reopen()).heldAs(here, D)).toBeUndefined();
    });

    test('is there for the next process, and for other registries that deliver the same bytes', async () => {
      await using it = await stored();
      const { records } = it;
      await records.fetched(here, D, JSON_TYPE);
      await records.fetched(placeOf('a/b', OTHER), D, JSON_TYPE);
      records.proved(there, D, 'text/plain');
      await records.settled();

      const again = await it.reopen();

      expect([await again.hasFrom(REGISTRY, D), await again.hasFrom(OTHER, D)]).toEqual([true, true]);
      expect([await again.heldAs(here, D), await again.heldAs(there, D)]).toEqual([JSON_TYPE, 'text/plain']);
    });

    test('ends with the content, and does not come back with it', async () => {
      await using it = await stored();
      const { records } = it;
      await records.fetched(here, D, JSON_TYPE);
      await it.remove(D);
      await records.settled();
      expect([await records.hasFrom(REGISTRY, D), await records.heldAs(here, D)]).toEqual([false, undefined]);
      await it.put(D, bytes);
      expect([await records.hasFrom(REGISTRY, D), await records.heldAs(here, D)]).toEqual([false, undefined]);
    });

    test('is the last media type that was told', async () => {
      await using it = await stored();
      const { records } = it;
      await records.fetched(here, D, 'application/octet-stream');
      records.proved(here, D, JSON_TYPE);
      await records.settled();
      expect([await records.heldAs(here, D), await (await it.reopen()).heldAs(here, D)]).toEqual([
        JSON_TYPE,
        JSON_TYPE,
      ]);
    });

    test('has a bound, however many repositories say that they hold the content', async () => {
      await using it = await stored();
      const { records } = it;
      await records.fetched(here, D, JSON_TYPE);
      for (let index = 0; index < 1_010; index += 1) records.proved(placeOf(`a/r${index}`), D, JSON_TYPE);
      await records.settled();
      const repositories = Array.from({ length: 1_010 }, (_each, index) => records.heldAs(placeOf(`a/r${index}`), D));
      const held = await Promise.all(repositories);
      expect([held.filter(Boolean).length, held.at(-1), await records.hasFrom(REGISTRY, D)]).toEqual([
        1_000,
        JSON_TYPE,
        true,
      ]);
      expect(it.failures).toEqual([]);
    });
  });
}
