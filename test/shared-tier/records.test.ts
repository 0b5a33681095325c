import { mkdir, readdir, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { Layout } from '../../content/layout.ts';
import { type Digest, digestOf, hexOf } from '../../oci/digest.ts';
import { FileRecords } from '../../shared-tier/records.ts';
import { diskStore } from '../content/fixtures.ts';
import { recordsContract } from '../contracts/records.ts';
import { tmpDir } from '../support/tmp-dir.ts';
import { REGISTRY, placeOf } from './fixtures.ts';

const D = digestOf(Buffer.from('content'));
const here = placeOf('org/app');
const there = placeOf('org/other');
const JSON_TYPE = 'application/json';

recordsContract('files', async () => {
  let records: FileRecords | undefined;
  const disk = await diskStore({ onEvict: (digest) => records?.forget(digest) });
  const failures: unknown[] = [];
  const reopen = (): Promise<FileRecords> =>
    FileRecords.open(
      disk.store.layout,
      async (digest) => (await disk.store.stat(digest)) !== undefined,
      (error) => failures.push(error),
    );
  records = await reopen();
  return {
    records,
    put: (digest, bytes) => disk.store.put(digest, bytes),
    remove: (digest) => disk.store.delete(digest),
    reopen,
    failures,
    [Symbol.asyncDispose]: () => disk[Symbol.asyncDispose](),
  };
});

async function recordsIn() {
  const directory = await tmpDir();
  const layout = new Layout(directory.path);
  await mkdir(layout.ingests, { recursive: true });
  const failures: unknown[] = [];
  const open = (isStored: (digest: Digest) => boolean = () => true): Promise<FileRecords> =>
    FileRecords.open(
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

describe('a record on the disk', () => {
  test('is not there for a proof on content that is not', async () => {
    await using it = await recordsIn();
    const records = await it.open();
    records.proved(here, D, JSON_TYPE);
    await records.settled();
    expect(await it.files()).toEqual([]);
  });

  test('ends with the content', async () => {
    await using it = await recordsIn();
    const records = await it.open();
    await records.fetched(here, D, JSON_TYPE);
    records.forget(D);
    await records.settled();
    expect(await it.files()).toEqual([]);
  });

  test('ends with content that went while nobody looked', async () => {
    await using it = await recordsIn();
    const records = await it.open();
    await records.fetched(here, D, JSON_TYPE);
    await records.settled();

    const again = await it.open(() => false);

    expect([await again.hasFrom(REGISTRY, D), await again.heldAs(here, D), await it.files()]).toEqual([
      false,
      undefined,
      [],
    ]);
  });

  test('is the last thing said when it is said often', async () => {
    await using it = await recordsIn();
    const records = await it.open();
    for (let round = 0; round < 50; round += 1) {
      void records.fetched(here, D, JSON_TYPE);
      records.forget(D);
    }
    await records.fetched(there, D, JSON_TYPE);
    await records.settled();

    const again = await it.open();

    expect([await again.heldAs(there, D), await again.heldAs(here, D), it.failures]).toEqual([
      JSON_TYPE,
      undefined,
      [],
    ]);
    expect(await readdir(it.layout.ingests)).toEqual([]);
  });

  test('that the disk does not take is right in memory, and that is told', async () => {
    await using it = await recordsIn();
    const records = await it.open();
    await mkdir(it.path(D), { recursive: true }); // in the way
    await records.fetched(here, D, JSON_TYPE);
    await records.settled();
    expect([await records.hasFrom(REGISTRY, D), it.failures.length]).toEqual([true, 1]);
  });

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

    expect([await records.hasFrom(REGISTRY, D), await it.files()]).toEqual([false, []]);
  });
});
