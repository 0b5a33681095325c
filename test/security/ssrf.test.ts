import { describe, expect, test } from 'vitest';
import { MEDIA_TYPES, toWire } from '../support/origin-content.ts';
import { type House, REGISTRY, startHouse } from '../support/house.ts';
import { answerNames } from '../support/house-names.ts';
import { type Answer, ask } from '../support/origin-client.ts';
import { startTrap } from '../support/trap.ts';

const ABSENT = `sha256:${'0'.repeat(64)}`;
const OBJECTS = ['manifests/v1', `manifests/${ABSENT}`, `blobs/${ABSENT}`];

/** Every way to ask for an object of a repository: at both doors, by both methods, in both forms. */
async function askEverywhere(house: House, registry: string, repository: string, objects = OBJECTS): Promise<Answer[]> {
  const targets = objects.flatMap((object) => [
    `/v2/${repository}/${object}?ns=${encodeURIComponent(registry)}`,
    `/v2/${registry}/${repository}/${object}`,
  ]);
  const doors = [house.mirror, house.tierUrl].flatMap((door) => ['GET', 'HEAD'].map((method) => ({ door, method })));
  return await Promise.all(doors.flatMap(({ door, method }) => targets.map((target) => ask(door, { method, target }))));
}

/** What was answered, apart from what may be: a refusal that tells nothing. */
function unexpected(answers: readonly Answer[], expected: readonly number[]): number[] {
  return answers.map(({ status }) => status).filter((status) => !expected.includes(status));
}

/** Places that are inside for whoever is inside; `PORT` is the trap's. */
const INSIDE = [
  '127.0.0.1:PORT',
  '127.0.0.77:PORT',
  'localhost:PORT',
  'LOCALHOST:PORT',
  'registry.localhost:PORT',
  '127.1:PORT',
  '2130706433:PORT',
  '0x7f000001:PORT',
  '0x7f.1:PORT',
  '0177.0.0.1:PORT',
  '0.0.0.0:PORT',
  '0:PORT',
  '[::1]:PORT',
  '[::]:PORT',
  '[::ffff:127.0.0.1]:PORT',
  '[::ffff:7f00:1]:PORT',
  '[64:ff9b::7f00:1]:PORT',
  '[2002:7f00:1::]:PORT',
  'circ-tier.default.svc:PORT',
  'circ-tier.default.svc.cluster.local:PORT',
];

describe('nothing inside is dialled', () => {
  test('for the name of a registry', async () => {
    await using trap = await startTrap();
    await using house = await startHouse();
    for (const place of INSIDE) {
      const answers = await askEverywhere(house, place.replace('PORT', String(trap.port)), 'org/app');
      expect([place, unexpected(answers, [400, 404]), trap.connections]).toEqual([place, [], 0]);
    }
  });

  test.each([
    ['http', INSIDE.map((place) => `http://${place}/x`)],
    ['https', INSIDE.map((place) => `https://${place}/x`)],
    [
      'other',
      ['//127.0.0.1:PORT/x', 'http://me:secret@127.0.0.1:PORT/x', 'ftp://127.0.0.1:PORT/x', 'file:///etc/passwd'],
    ],
    ['metadata', ['http://169.254.169.254/latest/meta-data/', 'http://[fd00:ec2::254]/latest/meta-data/']],
  ])('for redirects of the kind %s', async (name, locations) => {
    await using trap = await startTrap();
    await using house = await startHouse();
    for (const location of locations) {
      const headers = { location: location.replace('PORT', String(trap.port)) };
      house.origin.mood = { status: 307, headers };
      const answers = await askEverywhere(house, REGISTRY, 'org/app');
      const allowed = name === 'metadata' ? [404] : [404, 503];
      expect([location, unexpected(answers, allowed), trap.connections]).toEqual([location, [], 0]);
    }
  });

  test.each([
    ['http', INSIDE.map((place) => `http://${place}/token`)],
    ['https', INSIDE.map((place) => `https://${place}/token`)],
    [
      'other',
      ['http://127.0.0.1:PORT@ORIGIN/token', 'http://ORIGIN@127.0.0.1:PORT/token', 'gopher://127.0.0.1:PORT/token'],
    ],
    ['metadata', ['http://169.254.169.254/latest/api/token', 'http://[fd00:ec2::254]/latest/api/token']],
  ])('for realms of the kind %s', async (name, realms) => {
    await using trap = await startTrap();
    await using house = await startHouse();
    for (const template of realms) {
      const realm = template.replace('PORT', String(trap.port)).replace('ORIGIN', house.origin.host);
      const headers = { 'www-authenticate': `Bearer realm="${realm}",service="x",scope="repository:org/app:pull"` };
      house.origin.mood = { status: 401, headers };
      const answers = await askEverywhere(house, REGISTRY, 'org/app');
      // 401 with that challenge would send the client, with its secret, where this registry may not send it.
      const challenges = answers.map((answer) => String(answer.headers['www-authenticate'])).join();
      expect([realm, challenges.includes(realm), trap.connections]).toEqual([realm, false, 0]);
      const allowed = name === 'metadata' ? [404] : [404, 503];
      // In the path form the tier asks for the secret itself, and then has nowhere to take it.
      const others = answers.filter((answer) => answer.headers['www-authenticate'] !== 'Basic realm="circ"');
      expect([realm, unexpected(others, allowed)]).toEqual([realm, []]);
    }
  });

  test('for a Link header, which does not reach the client either', async () => {
    await using trap = await startTrap();
    await using house = await startHouse();
    await house.origin.addImage('org/app', 'v1', { layers: [Buffer.from('layer')] });
    house.origin.mood = { headers: { link: `<http://127.0.0.1:${trap.port}/v2/org/app/tags/list?n=1>; rel="next"` } };
    const objects = [...OBJECTS, 'tags/list', 'tags/list?n=1', `referrers/${ABSENT}`];
    const answers = await askEverywhere(house, REGISTRY, 'org/app', objects);
    expect(answers.map(({ headers }) => String(headers['link'])).join()).not.toContain(String(trap.port));
    expect(trap.connections).toBe(0);
  });

  test('for the urls of a foreign layer, a subject, or an index entry', async () => {
    await using trap = await startTrap();
    await using house = await startHouse();
    const urls = [`http://127.0.0.1:${trap.port}/layer`, `https://127.0.0.1:${trap.port}/layer`];
    const foreign = {
      mediaType: 'application/vnd.oci.image.layer.nondistributable.v1.tar',
      digest: ABSENT,
      size: 6,
      urls,
    };
    const config = await house.origin.addBlob('org/app', Buffer.from('{}'));
    const mediaType = MEDIA_TYPES.oci.manifest;
    const image = { schemaVersion: 2, mediaType, config: toWire(config), layers: [foreign], subject: foreign };
    house.origin.addManifest('org/app', 'v1', image, mediaType);
    const index = { schemaVersion: 2, mediaType: MEDIA_TYPES.oci.index, manifests: [{ ...foreign, mediaType }] };
    house.origin.addManifest('org/app', 'all', index, MEDIA_TYPES.oci.index);
    const manifests = await askEverywhere(house, REGISTRY, 'org/app', ['manifests/v1', 'manifests/all']);
    expect(unexpected(manifests, [200])).toEqual([]);
    const rest = await askEverywhere(house, REGISTRY, 'org/app', [`blobs/${ABSENT}`, `manifests/${ABSENT}`]);
    expect(unexpected(rest, [404])).toEqual([]);
    expect(trap.connections).toBe(0);
  });
});

/** Judged as public, and routed nowhere: https://www.rfc-editor.org/rfc/rfc9637 */
const OUTSIDE = '3fff::1';

describe('nothing inside is dialled, however its name is answered:', () => {
  test.each([
    ['with an address inside', [['127.0.0.1']]],
    ['with one inside among others', [[OUTSIDE, '127.0.0.1']]],
    ['with one inside first', [['::1', OUTSIDE]]],
    ['with one inside that is written as IPv6', [['::ffff:127.0.0.1']]],
    ['with one outside first, then one inside', [[OUTSIDE], ['127.0.0.1']]],
    ['with one outside first, then both', [[OUTSIDE], [OUTSIDE, '127.0.0.1']]],
    ['with nothing', [[]]],
  ])('%s', async (_name, answers) => {
    await using trap = await startTrap();
    const name = `rebind.test:${trap.port}`;
    await using house = await startHouse({ origins: {}, registries: { [name]: { url: '' } } });
    using names = answerNames({ 'rebind.test': answers });

    const asked = [await askEverywhere(house, name, 'org/app')];
    house.origin.mood = { status: 307, headers: { location: `https://${name}/blob` } };
    asked.push(await askEverywhere(house, REGISTRY, 'org/redirected'));

    expect(names.count('rebind.test')).toBeGreaterThan(0);
    expect(unexpected(asked.flat(), [404, 503])).toEqual([]);
    expect(trap.connections).toBe(0);
  });
});
