import { get } from 'node:http';
import { describe, expect, test } from 'vitest';
import { Authorization } from '../../oci/authorization.ts';
import { generatedBlob } from '../support/blobs.ts';
import { type Secret, basic } from '../support/containerd-auth.ts';
import { type PulledPrivately, accept, pullInPhases } from '../support/containerd-pull.ts';
import { takeClock } from '../support/house-clock.ts';
import { download, pull, urlOf } from '../support/house-client.ts';
import { type House, type HouseOptions, REGISTRY, startHouse } from '../support/house.ts';
import { ask } from '../support/origin-client.ts';

const MIB = 1024 * 1024;
const APP = 'org/app';
const OPEN = 'org/open';
const alice = { user: 'alice', password: 'open sesame' };
const bob = { user: 'bob', password: 'let me in' };
const users = {
  alice: { password: alice.password, repositories: [APP] },
  bob: { password: bob.password, repositories: [] },
};

async function privateHouse(options: HouseOptions = {}) {
  const house = await startHouse({
    ...options,
    origin: { auth: 'bearer', privateRepositories: [APP], users, ...options.origin },
  });
  const image = await house.origin.addImage(APP, 'v1', { layers: [generatedBlob(MIB, 1), generatedBlob(1000, 2)] });
  await house.origin.addImage(OPEN, 'v1', { layers: [generatedBlob(500, 3)] });
  return Object.assign(house, { image });
}

async function pullAs(house: { mirror: string }, secret?: Secret, options = {}): Promise<PulledPrivately> {
  return await pullInPhases(house.mirror, APP, secret, options);
}

function heads(house: House): number {
  return house.origin.count({ method: 'HEAD' });
}

describe('a pull of a private image', () => {
  test('works as containerd does it, and costs the origin one bare HEAD and one HEAD a phase', async () => {
    await using house = await privateHouse();
    const pulled = await pullAs(house, alice);
    expect(pulled).toEqual({ resolve: [401, 200], fetch: [401, 200, 200, 200, 200], isWhole: true });
    const asked = house.origin.requests.filter(({ kind }) => kind !== 'token');
    expect(asked.map(({ kind, method, status }) => `${kind} ${method} ${status}`)).toEqual([
      'manifest HEAD 401', // the bare request of the resolve phase
      'manifest HEAD 401', // and what an anonymous token makes of it
      'manifest HEAD 200',
      'manifest HEAD 200', // the token of the fetch phase is another one
      'manifest GET 200',
      'blob GET 206',
      'blob GET 206',
      'blob GET 206',
    ]);
  });

  test('costs the origin two HEADs and no byte when everything is cached', async () => {
    await using house = await privateHouse();
    await pullAs(house, alice);
    const before = [heads(house), house.origin.requests.filter(({ kind }) => kind !== 'token').length];
    expect(await pullAs(house, alice)).toMatchObject({ isWhole: true });
    const after = [heads(house), house.origin.requests.filter(({ kind }) => kind !== 'token').length];
    expect(after.map((count, index) => count - (before[index] ?? 0))).toEqual([2, 2]);
  });

  test('hands the challenge of the origin on byte for byte', async () => {
    await using house = await privateHouse();
    const answer = await ask(house.url('manifests', APP, 'v1'), { method: 'HEAD' });
    expect(answer).toMatchObject({ status: 401, body: Buffer.alloc(0) });
    expect(answer.headers['www-authenticate']).toBe(house.origin.challenge(APP));
    const blob = await ask(house.url('blobs', APP, house.image.config.digest));
    expect(blob.headers['www-authenticate']).toBe(house.origin.challenge(APP));
    expect(JSON.parse(blob.body.toString())).toMatchObject({ errors: [{ code: 'UNAUTHORIZED' }] });
  });

  test.each(['alice', 'bob'])('by %s’s secret never shows it to the agent, the tier, or a log', async (name) => {
    await using house = await privateHouse();
    const secret = name === 'alice' ? alice : bob;
    await pullAs(house, secret);
    const shown = house.origin.requests
      .filter(({ kind }) => kind !== 'token')
      .map(({ headers }) => headers.authorization ?? '');
    expect(shown.filter((header) => header.startsWith('Basic'))).toEqual([]);
    const tokens = shown.map((header) => header.replace(/^Bearer /, '')).filter((token) => token !== '');
    expect(tokens.length).toBeGreaterThan(0);
    const log = JSON.stringify(house.log);
    for (const each of [secret.password, ...tokens]) expect(log).not.toContain(each);
  });
});

describe('a caller without the right', () => {
  test('is answered 404 whether the image is cached or not: same status, same body, same questions', async () => {
    const seen = [];
    for (const isCached of [false, true]) {
      await using house = await privateHouse();
      if (isCached) await pullAs(house, alice);
      const asked = house.origin.requests.length;
      const token = `Bearer ${house.origin.tokens.issue([])}`;
      const answers = [];
      for (const [kind, reference] of [
        ['manifests', 'v1'],
        ['manifests', house.image.manifest.digest],
        ['blobs', house.image.layers[0]?.digest ?? ''],
        ['blobs', house.image.manifest.digest],
      ] as const) {
        for (const method of ['HEAD', 'GET']) {
          const answer = await ask(house.url(kind, APP, reference), { method, headers: { authorization: token } });
          const { date: _date, ...headers } = answer.headers;
          answers.push([kind, method, answer.status, answer.body.toString(), headers]);
        }
      }
      const questions = house.origin.requests.slice(asked).map(({ kind, method, status }) => [kind, method, status]);
      seen.push({ answers, questions });
      expect(new Set(answers.map(([, , status]) => status))).toEqual(new Set([404]));
      const metrics = await house.agentMetrics();
      expect(metrics.sum('circ_requests_total', { outcome: 'denied' })).toBeGreaterThanOrEqual(8);
    }
    expect(seen[0]).toEqual(seen[1]);
  });

  test('does not get what the node has on its disk for somebody else', async () => {
    await using house = await privateHouse({ agent: { CIRC_AGENT_ADMIT: 'always' } });
    await pullAs(house, alice);
    await expect.poll(() => house.stored('agent')).toHaveLength(3);
    expect(await pullAs(house, bob)).toMatchObject({ resolve: [401, 404] });
    const { digest } = house.image.config;
    for (const headers of [{}, { authorization: `Bearer ${house.origin.tokens.issue([OPEN])}` }]) {
      const { status } = await ask(house.url('blobs', APP, digest), { headers });
      expect([401, 404]).toContain(status);
      expect((await ask(house.url('blobs', OPEN, digest), { headers })).status).toBe(404);
    }
  });
});

describe('a right that has ended', () => {
  test('is refused everywhere after at most the TTL, though all is cached on the node', async () => {
    using clock = takeClock();
    await using house = await privateHouse({ agent: { CIRC_AGENT_ADMIT: 'always' } });
    const authorization = Authorization.bearer(house.origin.tokens.issue([APP])).header;
    const headers = { accept, authorization };
    const urls = [
      house.url('manifests', APP, 'v1'),
      house.url('manifests', APP, house.image.manifest.digest),
      house.url('blobs', APP, house.image.config.digest),
    ];
    const statuses = async () => await Promise.all(urls.map(async (url) => (await ask(url, { headers })).status));
    expect(await statuses()).toEqual([200, 200, 200]);
    await expect.poll(() => house.stored('agent')).not.toEqual([]);
    house.origin.tokens.revokeAll();
    expect(await statuses()).toEqual([401, 200, 200]);
    await clock.forward(60_001);
    expect(await statuses()).toEqual([401, 401, 401]);
    const again = await ask(urls[2] ?? '', { headers });
    expect(again.headers['www-authenticate']).toBe(house.origin.challenge(APP, 'invalid_token'));
  });

  test('of a password is refused after at most the TTL, though its token is good for longer', async () => {
    using clock = takeClock();
    await using house = await privateHouse({ agent: { CIRC_AGENT_ADMIT: 'always' } });
    expect(await pullAs(house, alice, { path: true })).toMatchObject({ isWhole: true });
    house.origin.access.users.delete('alice');
    await clock.forward(60_001);
    const headers = { accept, authorization: basic(alice) };
    for (const reference of ['v1', house.image.manifest.digest]) {
      const url = urlOf(
        { mirror: house.mirror, registry: REGISTRY, repository: APP, path: true },
        'manifests',
        reference,
      );
      expect((await ask(url, { headers })).status).toBe(404);
    }
  });

  test('does not cut the body that is on its way, and begins no other', async () => {
    using clock = takeClock();
    await using house = await privateHouse();
    const { digest, sizeBytes } = await house.origin.addBlob(APP, generatedBlob(32 * MIB, 9));
    const headers = { accept, authorization: `Bearer ${house.origin.tokens.issue([APP])}` };
    const url = house.url('blobs', APP, digest);
    expect(await download(url, { headers })).toMatchObject({ isWhole: true, digest });
    const begun = Promise.withResolvers<undefined>();
    const ended = Promise.withResolvers<undefined>();
    const slow = download(url, { headers, onPiece: () => begun.resolve(undefined), until: ended.promise });
    await begun.promise;
    house.origin.tokens.revokeAll();
    await clock.forward(60_001);
    expect((await ask(url, { headers })).status).toBe(401);
    ended.resolve(undefined);
    expect(await slow).toMatchObject({ status: 200, isWhole: true, bytes: sizeBytes, digest });
  });

  test('is noticed at once with a TTL of 0', async () => {
    await using house = await privateHouse({
      agent: { CIRC_AGENT_ADMIT: 'always' },
      tier: { CIRC_GRANT_TTL: '0s' },
    });
    expect(await pullAs(house, alice)).toMatchObject({ isWhole: true });
    expect(await pullAs(house, alice, { path: true })).toMatchObject({ isWhole: true });
    const headers = { authorization: `Bearer ${house.origin.tokens.issue([APP])}` };
    const url = house.url('blobs', APP, house.image.config.digest);
    expect((await ask(url, { headers })).status).toBe(200);
    house.origin.tokens.revokeAll();
    house.origin.access.users.clear();
    expect((await ask(url, { headers })).status).toBe(401);
    const paths = { mirror: house.mirror, registry: REGISTRY, repository: APP, path: true };
    const answer = await ask(urlOf(paths, 'manifests', 'v1'), { headers: { authorization: basic(alice) } });
    expect(answer.status).toBe(404);
  });
});

describe('the path form', () => {
  test('is asked for a password, and the tier gets the token that it opens', async () => {
    await using house = await privateHouse();
    for (const mirror of [house.mirror, house.tierUrl]) {
      const paths = { mirror, registry: REGISTRY, repository: APP, path: true };
      const bare = await ask(urlOf(paths, 'manifests', 'v1'), { method: 'HEAD' });
      expect([bare.status, bare.headers['www-authenticate']]).toEqual([401, 'Basic realm="circ"']);
      const pulled = await pullAs({ mirror }, alice, { path: true });
      expect(pulled).toMatchObject({ resolve: [401, 200], isWhole: true });
      expect(await pullAs({ mirror }, bob, { path: true })).toMatchObject({ resolve: [401, 404] });
    }
    const shown = house.origin.requests.filter(({ kind }) => kind !== 'token');
    expect(shown.filter(({ headers }) => headers.authorization?.startsWith('Basic') === true)).toEqual([]);
  });

  test('at the tier begins with a challenge, which skopeo and podman need', async () => {
    await using house = await privateHouse();
    const bare = await ask(`${house.tierUrl}/v2/`);
    expect([bare.status, bare.headers['www-authenticate']]).toEqual([401, 'Basic realm="circ"']);
    expect((await ask(`${house.tierUrl}/v2/`, { headers: { authorization: basic(alice) } })).status).toBe(200);
    expect((await ask(`${house.mirror}/v2/`)).status).toBe(200);
  });

  test.each(['bearer', 'basic'] as const)(
    'takes an empty name and password, which skopeo and podman send without a login, for none (%s)',
    async (auth) => {
      await using house = await privateHouse({ origin: { auth } });
      const nobody = { user: '', password: '' };
      expect((await ask(`${house.tierUrl}/v2/`, { headers: { authorization: basic(nobody) } })).status).toBe(200);
      for (const mirror of [house.mirror, house.tierUrl]) {
        const ofPublic = { mirror, registry: REGISTRY, repository: OPEN, reference: 'v1', path: true };
        expect((await pull({ ...ofPublic, authorization: basic(nobody) })).blobs).toHaveLength(2);
        const ofPrivate = urlOf({ ...ofPublic, repository: APP }, 'manifests', 'v1');
        const refused = await ask(ofPrivate, { headers: { authorization: basic(nobody) } });
        expect([refused.status, refused.headers['www-authenticate']]).toEqual([401, 'Basic realm="circ"']);
      }
      const shown = house.origin.requests.map(({ headers }) => headers.authorization);
      expect(shown).not.toContain(basic(nobody));
    },
  );

  test('works where the origin itself takes passwords', async () => {
    await using house = await privateHouse({ origin: { auth: 'basic' } });
    expect(await pullAs(house, alice, { path: true })).toMatchObject({ isWhole: true });
    expect(await pullAs(house, alice)).toMatchObject({ resolve: [401, 200], isWhole: true });
    expect(await pullAs(house, bob)).toMatchObject({ resolve: [401, 404] });
  });
});

test.each(['mirror', 'tierUrl'] as const)(
  'several Authorization headers are refused at %s, and reach nobody',
  async (at) => {
    await using house = await privateHouse();
    const url = urlOf({ mirror: house[at], registry: REGISTRY, repository: APP }, 'manifests', 'v1');
    const { promise, resolve } = Promise.withResolvers<number>();
    const headers = ['Authorization', 'Bearer a', 'Authorization', `Bearer ${house.origin.tokens.issue([APP])}`];
    get(url, { headers }, (answer) => {
      answer.resume();
      resolve(answer.statusCode ?? 0);
    });
    expect(await promise).toBe(400);
    expect(house.origin.requests).toEqual([]);
  },
);
