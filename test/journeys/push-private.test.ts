import { describe, expect, test } from 'vitest';
import { digestOf } from '../../oci/digest.ts';
import { generatedBlob, readBytes } from '../support/blobs.ts';
import { type House, REGISTRY, startHouse } from '../support/house.ts';
import { takeClock } from '../support/house-clock.ts';
import { PushClient, locationOf } from '../support/house-push.ts';
import { type OriginOptions } from '../support/origin.ts';
import { ask } from '../support/origin-client.ts';

const REPOSITORY = 'team/app';
const THEIRS = 'rivals/app';
const layer = generatedBlob(200_000, 21);
const digest = digestOf(readBytes(layer));

const USERS = {
  alice: { password: 'of-alice', repositories: [REPOSITORY] },
  reader: { password: 'of-reader', repositories: [REPOSITORY], pushes: [] },
  mallory: { password: 'of-mallory', repositories: [THEIRS] },
};
const ALICE = basicOf('alice');
const READER = basicOf('reader');
const MALLORY = basicOf('mallory');

const KINDS = ['bearer', 'basic'] as const;

describe.each(KINDS)('a registry that wants credentials (%s)', (auth) => {
  const origin: OriginOptions = { auth, users: USERS, privateRepositories: [REPOSITORY, THEIRS] };

  test('is pushed to in the path form with the pusher’s password, and only who may read it there reads it here', async () => {
    await using house = await startHouse({ origin });
    await pusherOf(house, ALICE).image('v1', [layer]);
    const blob = `${house.tierUrl}/v2/${REGISTRY}/${REPOSITORY}/blobs/${digest}`;
    const statuses = [];
    for (const authorization of [ALICE, READER, MALLORY, undefined]) {
      statuses.push((await ask(blob, { headers: authorization === undefined ? {} : { authorization } })).status);
    }
    expect(statuses).toEqual([200, 200, 404, 401]);
    expect(house.origin.count({ kind: 'blob', method: 'GET', status: 200 })).toBe(0);
  });

  test('refuses who may only read, who may read nothing, and who does not say who it is', async () => {
    await using house = await startHouse({ origin });
    const denied = auth === 'bearer' ? 401 : 403;
    for (const [authorization, status] of [
      [READER, denied],
      [MALLORY, denied],
      [undefined, 401],
    ] as const) {
      const pusher = pusherOf(house, authorization);
      expect((await pusher.ask('POST', 'blobs/uploads/')).status).toBe(status);
      expect((await pusher.manifest('v1', {})).status).toBe(status);
      expect((await pusher.ask('DELETE', `blobs/${digest}`)).status).toBe(status);
    }
    const anonymous = await pusherOf(house, undefined).ask('POST', 'blobs/uploads/');
    expect(anonymous.headers['www-authenticate']).toBe('Basic realm="circ"');
    expect(house.origin.tag(REPOSITORY, 'v1')).toBeUndefined();
  });

  test('is told in the ns form by its own challenge, which asks for the right to push', async () => {
    await using house = await startHouse({ origin });
    const pusher = new PushClient({ url: house.tierUrl, repository: REPOSITORY, ns: REGISTRY });
    const { status, headers } = await pusher.ask('POST', 'blobs/uploads/');
    expect(status).toBe(401);
    expect(headers['www-authenticate']).toBe(house.origin.challenge(REPOSITORY, undefined, 'pull,push'));
  });

  test('gets no mount of what its pusher may not read: it is an upload like any other', async () => {
    await using house = await startHouse({ origin });
    await pusherOf(house, ALICE).image('v1', [layer]);
    house.origin.pushes.mounts = false; // as registries answer who has no right to the source
    const thief = new PushClient({ url: house.tierUrl, repository: `${REGISTRY}/${THEIRS}`, authorization: MALLORY });
    const mount = await thief.ask('POST', `blobs/uploads/?mount=${digest}&from=${REGISTRY}/${REPOSITORY}`);
    expect(mount.status).toBe(202);
    expect((await thief.ask('GET', `blobs/${digest}`)).status).toBe(404);
    const named = { schemaVersion: 2, config: { mediaType: 'x/y', digest, size: 200_000 }, layers: [] };
    expect((await thief.manifest('v1', named)).status).toBe(201);
    expect((await thief.ask('GET', `blobs/${digest}`)).status).toBe(404);
  });

  test('is not gone on with by who has only the address of the upload', async () => {
    await using house = await startHouse({ origin });
    const address = await pusherOf(house, ALICE).begin();
    for (const authorization of [MALLORY, undefined]) {
      expect((await pusherOf(house, authorization).patch(address, readBytes(layer))).status).toBeGreaterThan(400);
    }
    const patched = locationOf(await pusherOf(house, ALICE).patch(address, readBytes(layer)), 202);
    expect((await pusherOf(house, ALICE).put(patched, digest)).status).toBe(201);
  });
});

test('tokens that end in the middle of a push are replaced, with the password', async () => {
  await using house = await startHouse({ origin: { auth: 'bearer', users: USERS, privateRepositories: [REPOSITORY] } });
  const pusher = pusherOf(house, ALICE);
  const address = await pusher.begin();
  house.origin.tokens.revokeAll();
  const patched = locationOf(await pusher.patch(address, readBytes(layer)), 202);
  house.origin.tokens.revokeAll();
  expect((await pusher.put(patched, digest)).status).toBe(201);
  house.origin.tokens.revokeAll();
  expect((await pusher.manifest('v1', { schemaVersion: 2, layers: [] })).status).toBe(201);
});

test.each(KINDS)('where no proof is remembered, a password pushes and lists all the same (%s)', async (auth) => {
  const origin: OriginOptions = { auth, users: USERS, privateRepositories: [REPOSITORY] };
  await using house = await startHouse({ origin, tier: { CIRC_GRANT_TTL: '0s' } });
  await pusherOf(house, ALICE).image('v1', [layer]);
  expect((await pusherOf(house, ALICE).ask('GET', 'tags/list')).status).toBe(200);
  expect((await pusherOf(house, MALLORY).ask('GET', 'tags/list')).status).toBe(404);
});

test('a password that is revoked pushes, and lists, for as long as a proof holds, whatever tokens it has brought', async () => {
  await using house = await startHouse({ origin: { auth: 'bearer', users: USERS, privateRepositories: [REPOSITORY] } });
  using clock = takeClock();
  const pusher = pusherOf(house, ALICE);
  const manifest = { schemaVersion: 2, layers: [] };
  const address = await pusher.begin();
  expect((await pusher.manifest('v1', manifest)).status).toBe(201);
  expect((await pusher.ask('GET', 'tags/list')).status).toBe(200);
  house.origin.access.users.delete('alice');
  await clock.forward(61_000);
  expect((await pusher.ask('GET', 'tags/list')).status).toBe(404);
  expect((await pusher.patch(address, readBytes(layer))).status).toBe(401);
  expect((await pusher.manifest('v2', manifest)).status).toBe(401);
  expect(house.origin.tag(REPOSITORY, 'v2')).toBeUndefined();
});

function pusherOf({ tierUrl }: House, authorization: string | undefined): PushClient {
  const options = { url: tierUrl, repository: `${REGISTRY}/${REPOSITORY}` };
  return new PushClient({ ...options, ...(authorization !== undefined && { authorization }) });
}

function basicOf(name: keyof typeof USERS): string {
  return `Basic ${Buffer.from(`${name}:${USERS[name].password}`).toString('base64')}`;
}
