import * as fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { generatedBlob, readBytes } from '../support/blobs.ts';
import { REGISTRY, startHouse } from '../support/house.ts';
import { ask } from '../support/origin-client.ts';
import { bytesOf, isDigestText, isRepository, isTag } from './grammar.ts';

const SIZE = 1_000;

describe('over HTTP', () => {
  test('no target makes the agent ask an origin for a name that no grammar has, or fail', async () => {
    await using house = await startHouse({ origins: { default: REGISTRY, deny: ['*.io'] } });
    const { manifest } = await house.origin.addImage('org/app', 'v1', { layers: [generatedBlob(SIZE)] });
    const part = fc.constantFrom(
      ...'/ // .. org app v1 /manifests/ /blobs/ %2f %2e %61 %00 %zz ? & ns=registry.test @ : \\ UPPER'.split(' '),
      manifest.digest,
    );
    const middle = fc.array(part, { maxLength: 6 }).map((parts) => parts.join(''));
    const names = fc.constantFrom('org/app', 'org/%61pp', 'org/../app', 'ORG/app', 'org//app');
    const targets = fc
      .tuple(fc.oneof(names, middle), fc.constantFrom('manifests/v1', `manifests/${manifest.digest}`), middle)
      .map(([name, object, rest]) => `/v2/${name}/${object}${rest}?ns=registry.test`);
    await fc.assert(
      fc.asyncProperty(targets, fc.constantFrom('GET', 'HEAD'), async (target, method) => {
        const { status } = await ask(house.mirror, { method, target });
        expect([200, 400, 404]).toContain(status);
      }),
      // Of the repository `org/app/manifests/v1`: the grammar has that.
      { numRuns: 300, examples: [[`/v2/org/app/manifests/v1/blobs/${manifest.digest}?ns=registry.test`, 'GET']] },
    );
    const asked = house.origin.requests.filter(({ path }) => path !== '/v2/' && path !== '/token');
    for (const { path, query, repository = '', reference = '' } of asked) {
      expect([path, isRepository(repository)]).toEqual([path, true]);
      expect([path, isTag(reference) || isDigestText(reference)]).toEqual([path, true]);
      const kind = isDigestText(reference) && path.includes('/blobs/') ? 'blobs' : 'manifests';
      expect(path).toBe(`/v2/${repository}/${kind}/${reference}`);
      expect([...query.keys()]).toEqual([]);
    }
    expect(asked.length).toBeGreaterThan(0);
    await house.pull('org/app', 'v1');
  });

  test('every Range of a blob is answered as the RFC says', async () => {
    await using house = await startHouse();
    const { digest } = await house.origin.addBlob('org/app', generatedBlob(SIZE));
    await house.blob('org/app', digest);
    const number = fc.oneof(fc.nat(1_200).map(String), fc.constantFrom('', '0', '999', '1000', '9'.repeat(15)));
    const header = fc.tuple(
      fc.constantFrom('bytes=', 'items=', 'bytes'),
      number,
      fc.constantFrom('-', '--', ',0-'),
      number,
    );
    await fc.assert(
      fc.asyncProperty(header, async (pieces) => {
        const range = pieces.join('');
        const meant = bytesOf(range, SIZE);
        const answer = await ask(house.url('blobs', 'org/app', digest), { headers: { range } });
        const [start, end] = Array.isArray(meant) ? meant : [0, SIZE];
        const expected = meant === 'none' ? 416 : meant === 'whole' ? 200 : 206;
        expect([range, answer.status]).toEqual([range, expected]);
        const isRight = meant === 'none' || answer.body.equals(readBytes(generatedBlob(SIZE), start, end));
        expect([range, isRight]).toEqual([range, true]);
      }),
      { numRuns: 300 },
    );
  });
});
