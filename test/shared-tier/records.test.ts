import { mkdir, readdir, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { Layout } from '../../content/layout.ts';
import { type Digest, digestOf, hexOf } from '../../oci/digest.ts';
import { parseRegistry } from '../../oci/reference.ts';
import { Records } from '../../shared-tier/records.ts';
import { tmpDir } from '../support/tmp-dir.ts';
import { REGISTRY, placeOf } from './fixtures.ts';

const D = digestOf(Buffer.from('content'));
const OTHER = parseRegistry('other.test');
const here = placeOf('org/app');
const there = placeOf('org/other');
const JSON_TYPE = 'application/json';

async function recordsIn() {
  const directory = await tmpDir();
  const layout = new Layout(directory.path);
  await mkdir(layout.ingests, { recursive: true });
  const failures: unknown[] = [];
  const open = (isStored: (digest: Digest) => boolean = () => true): Promise<Records> =>
    Records.open(
      layout,
      (digest) => Promise.resolve(isStored(digest)),
      (error) => failures.push(error),
    );
  return {
    layout,
    failures,
    open,
    path: (digest: Digest) => join(layout.records, 'sha256', hexOf(digest).slice(0, 2), `${hexOf(digest)}.json`),
    files: async () => (await readdir(layout.records, { recursive: true })).filter((name) => name.endsWith('.json')),
    [Symbol.asyncDispose]: () => directory[Symbol.asyncDispose](),
  };
}

describe('what is recorded', () => {
  test('is nothing of content that nobody delivered', async () => {
    await using it = await recordsIn();
    const records = await it.open();
    expect([records.has(REGISTRY, D), records.holds(here, D)]).toEqual([false, undefined]);
  });

  test('is that a registry delivered content, from the repository it was fetched from only', async () => {
    await using it = await recordsIn();
    const records = await it.open();
    records.fetched(here, D, JSON_TYPE);
    expect([records.has(REGISTRY, D), records.holds(here, D)]).toEqual([true, JSON_TYPE]);
    expect([records.holds(there, D), records.has(OTHER, D)]).toEqual([undefined, false]);
    expect(records.holds(placeOf('org/app', OTHER), D)).toBeUndefined();
  });

  test('of a proof is that the repository holds the content, not that its registry delivered it', async () => {
    await using it = await recordsIn();
    const records = await it.open();
    records.fetched(here, D, JSON_TYPE);
    records.proved(there, D, JSON_TYPE);
    records.proved(placeOf('org/app', OTHER), D, JSON_TYPE);
    expect([records.holds(there, D), records.has(OTHER, D)]).toEqual([JSON_TYPE, false]);
  });

  test('of a proof on content that is not here is nothing', async () => {
    await using it = await recordsIn();
    const records = await it.open();
    records.proved(here, D, JSON_TYPE);
    expect(records.holds(here, D)).toBeUndefined();
    await records.settled();
    expect(await it.files()).toEqual([]);
  });

  test('outlives a restart', async () => {
    await using it = await recordsIn();
    const records = await it.open();
    records.fetched(here, D, JSON_TYPE);
    records.proved(there, D, 'text/plain');
    await records.settled();

    const again = await it.open();

    expect([again.has(REGISTRY, D), again.holds(here, D), again.holds(there, D)]).toEqual([
      true,
      JSON_TYPE,
      'text/plain',
    ]);
  });

  test('ends with the content, on the disk too', async () => {
    await using it = await recordsIn();
    const records = await it.open();
    records.fetched(here, D, JSON_TYPE);
    records.forget(D);
    await records.settled();
    expect([records.has(REGISTRY, D), records.holds(here, D), await it.files()]).toEqual([false, undefined, []]);
  });

  test('ends with content that went while nobody looked', async () => {
    await using it = await recordsIn();
    const records = await it.open();
    records.fetched(here, D, JSON_TYPE);
    await records.settled();

    const again = await it.open(() => false);

    expect([again.has(REGISTRY, D), again.holds(here, D), await it.files()]).toEqual([false, undefined, []]);
  });

  test('is the last thing said when it is said often', async () => {
    await using it = await recordsIn();
    const records = await it.open();
    for (let round = 0; round < 50; round += 1) {
      records.fetched(here, D, JSON_TYPE);
      records.forget(D);
    }
    records.fetched(there, D, JSON_TYPE);
    await records.settled();

    const again = await it.open();

    expect([again.holds(there, D), again.holds(here, D), it.failures]).toEqual([JSON_TYPE, undefined, []]);
    expect(await readdir(it.layout.ingests)).toEqual([]);
  });

  test('has a bound, however many repositories say that they hold the content', async () => {
    await using it = await recordsIn();
    const records = await it.open();
    records.fetched(here, D, JSON_TYPE);
    for (let index = 0; index < 1_200; index += 1) records.proved(placeOf(`a/r${index}`), D, JSON_TYPE);
    const held = Array.from({ length: 1_200 }, (_each, index) => records.holds(placeOf(`a/r${index}`), D));
    expect([held.filter(Boolean).length, held.at(-1), records.has(REGISTRY, D)]).toEqual([1_000, JSON_TYPE, true]);
  });

  test('stays right in memory when the disk takes nothing, and that is told', async () => {
    await using it = await recordsIn();
    const records = await it.open();
    await mkdir(it.path(D), { recursive: true }); // in the way
    records.fetched(here, D, JSON_TYPE);
    await records.settled();
    expect([records.has(REGISTRY, D), it.failures.length]).toEqual([true, 1]);
  });
});

describe('a record on the disk', () => {
  test.each([
    ['torn', '{"digest":"sha256:'],
    ['empty', ''],
    ['of another form', '{"digest":1,"has":[],"holds":{}}'],
    ['of other content', JSON.stringify({ digest: digestOf(Buffer.from('x')), has: [REGISTRY], holds: {} })],
    ['of no content', JSON.stringify({ digest: '../../etc', has: [REGISTRY], holds: {} })],
  ])('that is %s is dropped', async (_name, text) => {
    await using it = await recordsIn();
    await mkdir(dirname(it.path(D)), { recursive: true });
    await writeFile(it.path(D), text);

    const records = await it.open();

    expect([records.has(REGISTRY, D), await it.files()]).toEqual([false, []]);
  });
});
