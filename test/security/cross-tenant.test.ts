import { describe, expect, test } from 'vitest';
import { basic } from '../support/containerd-auth.ts';
import { pull } from '../support/house-client.ts';
import type { Answer } from '../support/origin-client.ts';
import {
  ALICE,
  type Ask,
  A_ELSE,
  BOB,
  B_OWN,
  CACHED,
  ELSEWHERE,
  FORMS,
  NEVER,
  type Question,
  type Tenants,
  askAs,
  holdsBytes,
  pathOf,
  seen,
  startTenants,
} from './tenants.ts';

/** Somebody who may not read A's image, and how he asks for it. */
type Attacker = (tenants: Tenants, repository: string) => Promise<Ask>;

const ATTACKERS: [string, Attacker][] = [
  ['nobody', async () => ({})],
  ["B's token for it", async ({ token }, repository) => ({ authorization: await token(BOB, repository) })],
  ["B's token for his own", async ({ token }) => ({ authorization: await token(BOB, B_OWN) })],
  [
    'an anonymous token for it',
    async ({ token }, repository) => ({ authorization: await token(undefined, repository) }),
  ],
  ["A's token for another repository", async ({ token }) => ({ authorization: await token(ALICE, A_ELSE) })],
  [
    "A's token for it, revoked",
    async ({ token, house }, repository) => {
      const authorization = await token(ALICE, repository);
      house.origin.tokens.revoke('alice');
      return { authorization };
    },
  ],
  ['a token out of the air', async () => ({ authorization: 'Bearer eyJhbGciOiJub25lIn0.e30.' })],
  ["B's name and password", async () => ({ authorization: basic(BOB) })],
  ["A's name and a wrong password", async () => ({ authorization: basic({ ...ALICE, password: 'guessed' }) })],
  ['a scheme nobody knows', async () => ({ authorization: 'Negotiate abc' })],
];

const REQUESTS = FORMS.flatMap((form) => [
  { form, method: 'GET' },
  { form, method: 'HEAD' },
  { form, method: 'GET', range: 'bytes=0-99' },
  { form, method: 'GET', range: 'bytes=100-' },
  { form, method: 'GET', range: 'bytes=-1' },
]);

/** Asks everything about one image, at one door; what was seen, and what may not have been. */
async function askAll(tenants: Tenants, door: string, question: Question, ask: Ask): Promise<Record<string, object>> {
  const answers = await Promise.all(
    REQUESTS.map(async ({ form, ...rest }): Promise<[string, Answer]> => {
      const answer = await askAs(door, pathOf(form, question), { ...ask, ...rest });
      return [`${rest.method} ${rest.range ?? 'all'} of ${form}`, answer];
    }),
  );
  const leaks = answers.filter(([, answer]) => holdsBytes(answer, tenants.layer)).map(([name]) => name);
  expect(leaks).toEqual([]);
  expect(answers.filter(([, { status }]) => status < 400)).toEqual([]);
  return Object.fromEntries(answers.map(([name, answer]) => [name, seen(answer, question)]));
}

const DOORS = [
  ['the agent of the same node', 'agent', false],
  ['the tier', 'tier', false],
  ['the agent, in the path form,', 'agent', true],
  ['the tier, in the path form,', 'tier', true],
] as const;

describe('nothing is told of what another tenant has cached', () => {
  test.each(ATTACKERS)('to who comes with %s', async (_name, attacker) => {
    await using tenants = await startTenants();
    const { house, cached, never } = tenants;
    for (const [name, which, asPath] of DOORS) {
      const door = which === 'agent' ? house.mirror : house.tierUrl;
      // First the one that is cached: what a refusal leaves behind must not help the second question either.
      const about = { repository: CACHED, image: cached };
      const control = { repository: NEVER, image: never };
      const ofCached = await askAll(tenants, door, about, { ...(await attacker(tenants, CACHED)), asPath });
      const ofNever = await askAll(tenants, door, control, { ...(await attacker(tenants, NEVER)), asPath });
      expect([name, ofCached]).toEqual([name, ofNever]);
    }
  });
});

describe('by its digest alone', () => {
  test.each(DOORS)(
    '%s gives nothing of another tenant in a repository that one may read',
    async (_door, which, asPath) => {
      await using tenants = await startTenants();
      const { house, cached, never, token } = tenants;
      const door = which === 'agent' ? house.mirror : house.tierUrl;
      const authorization = asPath ? basic(BOB) : await token(BOB, B_OWN);
      const own = await askAs(door, `${B_OWN}/manifests/v1`, { authorization, asPath });
      expect(own.status).toBe(200);
      for (const form of ['manifests by digest', 'blobs', 'blobs under manifests', 'manifests under blobs'] as const) {
        for (const method of ['GET', 'HEAD']) {
          const [of, ofNever] = await Promise.all(
            [cached, never].map(async (image) => {
              const question = { repository: B_OWN, image };
              const answer = await askAs(door, pathOf(form, question), { authorization, method, asPath });
              expect([form, answer.status, holdsBytes(answer, tenants.layer)]).toEqual([form, 404, false]);
              return seen(answer, question);
            }),
          );
          expect(of).toEqual(ofNever);
        }
      }
    },
  );

  test.each(DOORS)(
    '%s gives nothing of another registry in a repository of the same name',
    async (_door, which, asPath) => {
      await using tenants = await startTenants();
      const { house, cached, never, token, elsewhere } = tenants;
      const door = which === 'agent' ? house.mirror : house.tierUrl;
      const authorization = asPath ? basic(BOB) : await token(BOB, CACHED, elsewhere);
      const ask = { authorization, asPath, registry: ELSEWHERE };
      expect((await askAs(door, `${CACHED}/manifests/v1`, ask)).status).toBe(200);
      for (const form of ['manifests by digest', 'blobs'] as const) {
        for (const method of ['GET', 'HEAD']) {
          const [of, ofNever] = await Promise.all(
            [cached, never].map(async (image) => {
              const question = { repository: CACHED, image };
              const answer = await askAs(door, pathOf(form, question), { ...ask, method });
              expect([form, answer.status, holdsBytes(answer, tenants.layer)]).toEqual([form, 404, false]);
              return seen(answer, question);
            }),
          );
          expect(of).toEqual(ofNever);
        }
      }
    },
  );
});

describe('what a digest that one may not read costs the registry', () => {
  test.each([200, 401])('is the same, cached for another tenant or not, where HEAD is answered %i', async (ofHead) => {
    await using tenants = await startTenants();
    const { house, cached, never, token } = tenants;
    const authorization = await token(BOB, B_OWN);
    if (ofHead !== 200) house.origin.when({ kind: 'blob', method: 'HEAD' }, { status: ofHead });
    for (const door of [house.mirror, house.tierUrl]) {
      expect((await askAs(door, `${B_OWN}/manifests/v1`, { authorization })).status).toBe(200);
      const costs = [];
      for (const image of [cached, never]) {
        const before = house.origin.requests.length;
        await askAs(door, pathOf('blobs', { repository: B_OWN, image }), { authorization });
        costs.push(house.origin.requests.slice(before).map(({ method, kind, status }) => [method, kind, status]));
      }
      expect(costs[0]).toEqual(costs[1]);
      expect(costs[0]?.length).toBeGreaterThan(0);
    }
  });

  test('is not told by what the registry sent for it to another tenant, though that was wrong', async () => {
    await using tenants = await startTenants();
    const { house, never, token } = tenants;
    house.origin.when({ kind: 'blob', method: 'GET' }, { lie: true });
    const path = pathOf('blobs', { repository: NEVER, image: never });
    await askAs(house.mirror, path, { authorization: await token(ALICE, NEVER) });
    house.origin.calm();
    await expect
      .poll(async () => (await askAs(house.mirror, path, { authorization: await token(ALICE, NEVER) })).status)
      .toBe(503); // for a minute
    const authorization = await token(BOB, B_OWN);
    expect((await askAs(house.mirror, `${B_OWN}/manifests/v1`, { authorization })).status).toBe(200);
    for (const method of ['GET', 'HEAD']) {
      const answer = await askAs(house.mirror, pathOf('blobs', { repository: B_OWN, image: never }), {
        authorization,
        method,
      });
      expect([method, answer.status]).toEqual([method, 404]);
    }
  });
});

describe('the agent of the node where A has just pulled', () => {
  test('gives B nothing while it serves A, fifty times at once', async () => {
    await using tenants = await startTenants();
    const { house, at, cached, token, layer } = tenants;
    const [alice, bob] = [await token(ALICE, CACHED), await token(BOB, CACHED)];
    const blob = pathOf('blobs', { repository: CACHED, image: cached });
    await pull({ ...at, authorization: alice });
    for (let time = 1; time <= 50; time += 1) {
      const [mine, his, nobody] = await Promise.all(
        [alice, bob, undefined].map((authorization) => askAs(house.mirror, blob, { authorization })),
      );
      expect([mine?.status, his?.status, nobody?.status]).toEqual([200, 404, 401]);
      expect(his && holdsBytes(his, layer)).toBe(false);
    }
  });

  test('gives A nothing any more when the proof has ended and the registry says no', async () => {
    await using tenants = await startTenants({ tier: { CIRC_GRANT_TTL: '0s' } });
    const { house, cached, token, at } = tenants;
    const authorization = await token(ALICE, CACHED);
    await pull({ ...at, authorization });
    house.origin.access.users.delete('alice');
    house.origin.tokens.revoke('alice');
    for (const form of FORMS) {
      for (const door of [house.mirror, house.tierUrl]) {
        const answer = await askAs(door, pathOf(form, { repository: CACHED, image: cached }), { authorization });
        expect([form, [401, 404].includes(answer.status)]).toEqual([form, true]);
      }
    }
  });

  test('asks the registry about B before it looks for the content', async () => {
    await using tenants = await startTenants();
    const { house, cached, token } = tenants;
    const authorization = await token(BOB, CACHED);
    const before = house.origin.requests.length;
    await askAs(house.mirror, pathOf('blobs', { repository: CACHED, image: cached }), { authorization });
    const asked = house.origin.requests.slice(before).filter(({ headers }) => headers.authorization === authorization);
    expect(asked.map(({ repository }) => repository)).toContain(CACHED);
  });
});
