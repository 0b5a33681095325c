import { describe, expect, test } from 'vitest';
import { parseManifestLinks } from '../../../oci/descriptor.ts';
import { digestOf } from '../../../oci/digest.ts';
import { OciError } from '../../../oci/error.ts';
import { manifestsFor, parsePlatforms } from '../../../shared-tier/admin/platforms.ts';

const INDEX = 'application/vnd.oci.image.index.v1+json';

/** An index of these entries; what is chosen of it, by name. */
function chosenOf(entries: Record<string, object>, ...platforms: string[]): string[] {
  const digests = Object.keys(entries).map((name) => digestOf(Buffer.from(name)));
  const manifests = Object.values(entries).map((entry, index) => ({ digest: digests[index], size: 1, ...entry }));
  const bytes = Buffer.from(JSON.stringify({ manifests }));
  const links = parseManifestLinks(bytes, INDEX);
  const chosen = manifestsFor(parsePlatforms(platforms), bytes, links.manifests);
  const isChosen = new Set<string | undefined>(chosen.map(({ digest }) => digest));
  return Object.keys(entries).filter((_name, index) => isChosen.has(digests[index]));
}

const on = (os: unknown, architecture: unknown, variant?: unknown): object => ({
  platform: { os, architecture, variant },
});
const about = (name: string): object => ({
  ...on('unknown', 'unknown'),
  annotations: { 'vnd.docker.reference.digest': digestOf(Buffer.from(name)) },
});

describe('the manifests of an index for chosen platforms', () => {
  const entries = {
    amd64: on('linux', 'amd64'),
    v6: on('linux', 'arm', 'v6'),
    v7: on('linux', 'arm', 'v7'),
    arm64: on('linux', 'arm64'),
    windows: on('windows', 'amd64'),
  };

  test.each([
    [['linux/amd64'], ['amd64']],
    [['linux/arm/v7'], ['v7']],
    [['linux/arm'], ['v6', 'v7']],
    [['linux/arm64/v8'], ['arm64']],
    [
      ['linux/amd64', 'windows/amd64'],
      ['amd64', 'windows'],
    ],
    [['linux/amd64', 'linux/s390x'], ['amd64']],
    [[], Object.keys(entries)],
  ])('%j are %j', (platforms, names) => {
    expect(chosenOf(entries, ...platforms)).toEqual(names);
  });

  test('come with what attests them, and with what is for no platform', () => {
    const all = { ...entries, attested: about('amd64'), other: about('v7'), artifact: {}, odd: on(7, null) };
    expect(chosenOf(all, 'linux/amd64')).toEqual(['amd64', 'attested', 'artifact', 'odd']);
  });

  test('are all of an index that has no images', () => {
    expect(chosenOf({ one: {}, two: {} }, 'linux/amd64')).toEqual(['one', 'two']);
  });

  test('are refused when there is none, in few words however many there are', () => {
    const many = Object.fromEntries(Array.from({ length: 500 }, (_, n) => [`${n}`, on('linux', `a${n}`)]));
    expect(() => chosenOf(many, 'linux/amd64')).toThrow(OciError);
    expect(() => chosenOf(many, 'linux/amd64')).toThrow(/^.{50,400}$/);
  });

  test.each(['', 'linux', 'linux/', '/amd64', 'linux/amd64/v1/x', 'Linux/amd64', 'linux/amd64,linux/arm64'])(
    'cannot be chosen by %j',
    (text) => {
      expect(() => parsePlatforms([text])).toThrow(OciError);
    },
  );
});
