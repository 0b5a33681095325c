import { describe, expect, test } from 'vitest';
import { digestOf } from '../../../oci/digest.ts';
import { Catalog } from '../../../shared-tier/store/catalog.ts';
import { takeClock } from '../../support/house-clock.ts';
import { s3Store } from './fixtures.ts';

const digests = ['a', 'b', 'c'].map((text) => digestOf(Buffer.from(text)));
const [first = digestOf(Buffer.from('')), ...others] = digests;

describe('a catalog', () => {
  test('whose bucket says nothing is waited for once, not once for each content', async () => {
    await using it = await s3Store();
    using clock = takeClock();
    await it.store.put(first, Buffer.from('a'));
    const catalog = new Catalog(it.bucket, () => undefined, { answerMs: 300 });
    expect(await catalog.read(first)).toMatchObject({ sizeBytes: 1 });
    expect(catalog.isAway).toBe(false);
    it.server.moods.push({ method: 'GET', silent: true });
    const asked = it.server.requests.length;
    const waiting = catalog.read(first, () => false);
    // By the clock that measures it, a timer may go off too soon.
    await clock.forward(-2);
    expect(await waiting).toMatchObject({ sizeBytes: 1 });
    for (const digest of [...others, ...others]) {
      await expect(catalog.read(digest)).rejects.toMatchObject({ code: 'UNAVAILABLE' });
    }
    expect(it.server.requests.length).toBe(asked + 1);
    expect(catalog.isAway).toBe(true);
    // What was known is believed meanwhile.
    expect(await catalog.read(first, () => false)).toMatchObject({ sizeBytes: 1 });
  });

  test('whose bucket refuses one record asks for the next', async () => {
    await using it = await s3Store();
    await it.store.put(first, Buffer.from('a'));
    const catalog = new Catalog(it.bucket, () => undefined);
    it.server.moods.push({ method: 'GET', times: 1, error: [403, 'AccessDenied'] });
    await expect(catalog.read(first)).rejects.toMatchObject({ code: 'UNAVAILABLE' });
    expect(await catalog.read(first)).toMatchObject({ sizeBytes: 1 });
  });
});
