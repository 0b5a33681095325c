import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { digestOf } from '../../oci/digest.ts';
import { generatedBlob } from '../support/blobs.ts';
import { takeClock } from '../support/house-clock.ts';
import { type House, startHouse } from '../support/house.ts';
import { ask } from '../support/origin-client.ts';
import type { Moods } from '../support/origin-moods.ts';

const SIZE = 300_000;
const ALWAYS = { agent: { CIRC_AGENT_ADMIT: 'always' } };

/** No file in either cache, records aside, has other bytes than its name says; and nothing is left half done. */
async function expectClean(house: House): Promise<void> {
  await expect.poll(() => house.ingests()).toBe(0);
  for (const directory of [house.agentDirectory, house.tierDirectory]) {
    const blobs = join(directory, 'v1/blobs');
    for (const entry of await readdir(blobs, { recursive: true, withFileTypes: true })) {
      if (!entry.isFile()) continue;
      const algorithm = entry.parentPath.includes('/sha512/') ? 'sha512' : 'sha256';
      const bytes = await readFile(join(entry.parentPath, entry.name));
      expect(digestOf(bytes, algorithm)).toBe(`${algorithm}:${entry.name}`);
    }
  }
}

/** Moods in which the right bytes never come; the tier learns of none of them before the end of its patience. */
const HOPELESS: [string, Moods, { isCorrupt?: boolean }][] = [
  ['lies in the middle', { lie: true }, { isCorrupt: true }],
  ['lies in the first byte', { lie: 0 }, { isCorrupt: true }],
  ['lies in the last byte', { lie: SIZE - 1 }, { isCorrupt: true }],
  ['sends more than there is', { longer: 1 }, { isCorrupt: true }],
  ['sends less than there is', { shorter: 1 }, { isCorrupt: true }],
  ['always breaks off by FIN before the first byte', { truncateAt: 0 }, {}],
  ['always breaks off by RST before the first byte', { resetAt: 0 }, {}],
  ['answers with a block page', { html: true }, {}],
  ['redirects to a login page', { loginRedirect: true }, {}],
  ['resets instead of answering', { resetHeaders: true }, {}],
  ['says 500', { status: 500 }, {}],
  ['says 403', { status: 403 }, {}],
  ['compresses what nobody asked it to', { gzip: true }, {}],
  ['tells no length', { noLength: true, ranges: false }, {}],
  ['gives another range than asked for', { shiftRange: 1 }, {}],
];

/** Moods that a good client gets around. */
const HARMLESS: [string, Moods][] = [
  ['breaks each connection off by FIN', { truncateAt: 100_000 }],
  ['breaks each connection off by RST', { resetAt: 100_000 }],
  ['tells a wrong digest in its headers', { digestHeader: 'wrong' }],
  ['tells an invalid digest in its headers', { digestHeader: 'invalid' }],
  ['tells no digest', { digestHeader: 'none' }],
  ['knows no ranges', { ranges: false }],
  ['sends more behind its answers', { overrun: 100 }],
];

describe('a blob of an origin that', () => {
  test.each(HOPELESS)('%s is never received whole and wrong, leaves nothing, and is right later', async (...row) => {
    const [, mood, { isCorrupt = false }] = row;
    using clock = takeClock();
    await using house = await startHouse(ALWAYS);
    const { digest } = await house.origin.addBlob('org/app', generatedBlob(SIZE));
    house.origin.when({ kind: 'blob', method: 'GET' }, mood);

    for (const got of await Promise.all([1, 2, 3].map(() => house.blob('org/app', digest)))) {
      // Either an honest error, or a body that did not come to its end.
      const isCut = got.status === 200 && !got.isWhole;
      expect([404, 503, 'cut off']).toContain(isCut ? 'cut off' : got.status);
      // With a byte too many, all the right ones may have come before the cut.
      expect(mood.longer === undefined && got.digest === digest).toBe(false);
    }
    await expectClean(house);
    expect(await house.stored('tier')).toEqual([]);
    expect(await house.stored('agent')).toEqual([]);

    house.origin.calm();
    const { status } = await house.blob('org/app', digest);
    expect(status).toBe(isCorrupt ? 503 : 200); // what was found wrong is not asked for again at once
    await clock.forward(60_001);
    expect(await house.blob('org/app', digest)).toMatchObject({ status: 200, isWhole: true, digest });
    await expect.poll(() => house.stored('agent')).toEqual([digest]);
    await expectClean(house);
  });

  test.each(HARMLESS)('%s arrives all the same', async (_name, mood) => {
    await using house = await startHouse(ALWAYS);
    const { digest } = await house.origin.addBlob('org/app', generatedBlob(SIZE));
    house.origin.when({ kind: 'blob' }, mood);
    const all = await Promise.all([1, 2, 3].map(() => house.blob('org/app', digest)));
    for (const got of all) expect(got).toMatchObject({ status: 200, isWhole: true, digest });
    await expect.poll(() => house.stored('tier')).toEqual([digest]);
    await expectClean(house);
  });
});

describe('a manifest of an origin that', () => {
  test.each([
    ['lies', { lie: true }],
    ['sends less than there is', { shorter: 1 }],
    ['breaks off', { truncateAt: 10 }],
    ['resets', { resetAt: 10 }],
    ['answers with a block page', { html: true }],
    ['redirects to a login page', { loginRedirect: true }],
    ['says 500', { status: 500 }],
    ['tells a wrong digest', { digestHeader: 'wrong' }],
  ] as [string, Moods][])('%s is never received wrong, leaves nothing, and is right later', async (_name, mood) => {
    using clock = takeClock();
    await using house = await startHouse(ALWAYS);
    const { manifest } = await house.origin.addImage('org/app', 'v1', { layers: [generatedBlob(1000)] });
    house.origin.mood = mood;
    for (const method of ['GET', 'HEAD']) {
      for (const reference of [manifest.digest, 'v1']) {
        const answer = await ask(house.url('manifests', 'org/app', reference), { method });
        const isRight = method === 'HEAD' || digestOf(answer.body) === manifest.digest;
        expect([404, 503, 'right']).toContain(answer.status === 200 && isRight ? 'right' : answer.status);
      }
    }
    await expectClean(house);
    house.origin.calm();
    await clock.forward(60_001);
    await expect(house.pull('org/app', 'v1')).resolves.toMatchObject({ manifests: [manifest.digest] });
    await expectClean(house);
  });
});
