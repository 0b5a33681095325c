import { readdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { Layout } from '../../../content/layout.ts';
import { digestOf } from '../../../oci/digest.ts';
import { PublicFiles } from '../../../shared-tier/access/public-files.ts';
import { PublicPlaces } from '../../../shared-tier/access/public-places.ts';
import { takeClock } from '../../support/house-clock.ts';
import { tmpDir } from '../../support/tmp-dir.ts';
import { APP, placeOf, refOf } from '../fixtures.ts';

const here = placeOf(APP);
const there = placeOf('org/other');
const HOUR = 3_600_000;
const [one, two] = ['one', 'two'].map((text) => digestOf(Buffer.from(text))) as [
  ReturnType<typeof digestOf>,
  ReturnType<typeof digestOf>,
];

async function placesIn(directory: string, isEnabled = true) {
  const failures: unknown[] = [];
  const layout = new Layout(directory);
  const records = await PublicFiles.open(layout, (error) => failures.push(error));
  const places = new PublicPlaces({ records, isEnabled });
  return {
    places,
    failures,
    directory: layout.publicPlaces,
    files: async () => {
      await places.settled();
      return await readdir(layout.publicPlaces);
    },
  };
}

async function disk() {
  const directory = await tmpDir();
  const { mkdir } = await import('node:fs/promises');
  await mkdir(new Layout(directory.path).ingests, { recursive: true });
  return directory;
}

describe('a repository that anonymous callers could read', () => {
  test('is public for a day after the last time, and not longer', async () => {
    using clock = takeClock();
    await using directory = await disk();
    const { places } = await placesIn(directory.path);
    expect(await places.has(here)).toBe(false);
    places.proved(here, refOf('v1'), one);
    await clock.forward(20 * HOUR);
    places.proved(here, refOf(one), one);
    await clock.forward(23 * HOUR);
    expect([await places.has(here), await places.has(there)]).toEqual([true, false]);
    await clock.forward(HOUR + 1);
    expect(await places.has(here)).toBe(false);
    await places.settled();
  });

  test('is remembered after a restart, with what its tags meant at last', async () => {
    await using directory = await disk();
    const before = await placesIn(directory.path);
    before.places.proved(here, refOf('v1'), one);
    before.places.proved(here, refOf('v2'), one);
    before.places.proved(here, refOf('v1'), two);
    before.places.proved(here, refOf('__proto__'), two);
    await before.places.settled();
    const { places } = await placesIn(directory.path);
    expect(await places.has(here)).toBe(true);
    expect(['v1', 'v2', '__proto__', 'constructor'].map((tag) => places.tag(here, tag))).toEqual([
      two,
      one,
      two,
      undefined,
    ]);
    expect(places.tag(there, 'v1')).toBeUndefined();
  });

  test('is forgotten, also on the disk, when the origin refuses it', async () => {
    await using directory = await disk();
    const { places, files } = await placesIn(directory.path);
    places.proved(here, refOf('v1'), one);
    expect(await files()).toHaveLength(1);
    places.refused(here);
    expect([await places.has(here), places.tag(here, 'v1'), await files()]).toEqual([false, undefined, []]);
  });

  test('forgets a tag that is not there any more', async () => {
    await using directory = await disk();
    const { places } = await placesIn(directory.path);
    places.proved(here, refOf('v1'), one);
    places.gone(here, refOf('v1'));
    await places.settled();
    expect([await places.has(here), places.tag(here, 'v1')]).toEqual([true, undefined]);
    expect((await placesIn(directory.path)).places.tag(here, 'v1')).toBeUndefined();
  });

  test('costs no write when nothing new is proved', async () => {
    await using directory = await disk();
    const { places, files, directory: path } = await placesIn(directory.path);
    places.proved(here, refOf('v1'), one);
    const [name = ''] = await files();
    await writeFile(join(path, name), 'mark');
    for (let time = 1; time <= 10; time += 1) places.proved(here, refOf('v1'), one);
    await places.settled();
    expect(await (await placesIn(directory.path)).places.has(here)).toBe(false); // the mark is still there: it is no record
  });

  test('is none when the operator does not want that', async () => {
    await using directory = await disk();
    const before = await placesIn(directory.path);
    before.places.proved(here, refOf('v1'), one);
    await before.places.settled();
    const { places, files } = await placesIn(directory.path, false);
    places.proved(there, refOf('v1'), one);
    expect([await places.has(here), await places.has(there), await files()]).toEqual([false, false, []]);
  });
});

test('files that are torn, foreign, old, or from the future are dropped', async () => {
  using clock = takeClock();
  await using directory = await disk();
  const before = await placesIn(directory.path);
  before.places.proved(here, refOf('v1'), one);
  const [name = ''] = await before.files();
  const future = { place: `${here.registry}/${APP}`, provedAtMs: Date.now() + 10 * HOUR, tags: [] };
  for (const [file, text] of [
    ['a.json', '{"place":'],
    [name.replace(/^./, 'z'), JSON.stringify({ ...future, provedAtMs: Date.now() })],
    ['notes.txt', 'x'],
  ] as const) {
    await writeFile(join(before.directory, file), text);
  }
  expect(await (await placesIn(directory.path)).files()).toEqual([name]);
  await writeFile(join(before.directory, name), JSON.stringify(future));
  expect(await (await placesIn(directory.path)).files()).toEqual([]);
  before.places.proved(here, refOf('v9'), one);
  await before.places.settled();
  await clock.forward(24 * HOUR);
  expect(await (await placesIn(directory.path)).files()).toEqual([]);
});
