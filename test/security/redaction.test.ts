import { randomBytes } from 'node:crypto';
import { inspect } from 'node:util';
import { describe, expect, test } from 'vitest';
import { generatedBlob } from '../support/blobs.ts';
import { basic } from '../support/containerd-auth.ts';
import { adminOf, preheat } from '../support/house-admin.ts';
import { GrpcTap, type Message } from '../support/grpc-tap.ts';
import { download, pull, urlOf } from '../support/house-client.ts';
import { login } from '../support/house-login.ts';
import { startHouse } from '../support/house.ts';
import { type Answer, ask } from '../support/origin-client.ts';
import type { Moods } from '../support/origin-moods.ts';
import { ecr } from '../support/registries/ecr.ts';
import { OTHER, PRIVATE } from '../support/registries/fixtures.ts';
import { gitlab } from '../support/registries/gitlab.ts';
import type { RegistryKind } from '../support/registries/registry.ts';
import { type Mark, leaksBelow, leaksIn, leaksInAnswers, leaksOf } from './redaction.ts';

const USER = 'AWS';

/** A secret that is nothing else, and cannot be guessed: who finds it has found a leak. */
function marked(name: string): string {
  return `${name}-${randomBytes(18).toString('hex')}`;
}

/** One registry of each kind of credential, a house, a tap, and a password that is to be found nowhere. */
async function watched(kind: RegistryKind) {
  const running = new AsyncDisposableStack();
  const password = marked('password');
  const users = { [USER]: { password, repositories: [PRIVATE] } };
  const registry = running.use(await kind.start({ users, privateRepositories: [PRIVATE, OTHER] }));
  const { layers, manifest } = await registry.addImage(PRIVATE, 'v1', { layers: [generatedBlob(100_000)] });
  const tap = running.use(new GrpcTap());
  const house = running.use(
    await startHouse({
      registries: { [kind.name]: registry },
      agent: { CIRC_AGENT_ADMIT: 'always', CIRC_LOG_LEVEL: 'trace' },
      tier: { CIRC_LOG_LEVEL: 'trace' },
      between: (tier) => tap.between(tier),
    }),
  );
  const at = { mirror: house.mirror, registry: kind.name, repository: PRIVATE, reference: 'v1' };
  const secret = { user: USER, password };
  return {
    registry,
    house,
    tap,
    at,
    secret,
    digests: [manifest.digest, layers[0]?.digest ?? ''],
    /** All that is secret by now: password, tokens, signed reads and grants of ours, signed URLs of theirs. */
    marks(): Mark[] {
      const { origin, tokenServer, store } = registry.hosts;
      const tokens = (tokenServer?.authority ?? origin.tokens).tokens.map((text) => ({ name: 'a token', text }));
      const presigned = (store?.requests ?? []).map(({ query }) => query.get('signature') ?? '');
      return [
        { name: 'the password', text: password },
        { name: 'name and password', text: `${USER}:${password}` },
        { name: 'the header', text: basic(secret).slice('Basic '.length) },
        ...tokens,
        ...presigned.filter((text) => text !== '').map((text) => ({ name: 'a presigned URL', text })),
        ...tap.heard.flatMap(({ response }) => secretsOf(response ?? {})),
      ];
    },
    [Symbol.asyncDispose]: () => running.disposeAsync(),
  };
}

/** What the tier gave the agent that opens something to whoever holds it. */
function secretsOf(response: Message): Mark[] {
  const { grant, ...rest } = response;
  const { token } = (grant ?? {}) as { token?: Buffer };
  const urls = Object.values(rest).filter((value): value is string => String(value).startsWith('http'));
  const sealed = urls.map((url) => ({ name: 'a signed read', text: url.split('/').at(-1) ?? '' }));
  const grants = token === undefined || token.length === 0 ? [] : (['hex', 'base64', 'base64url', 'latin1'] as const);
  return [...sealed, ...grants.map((form) => ({ name: `a grant in ${form}`, text: token?.toString(form) ?? '' }))];
}

/** Ways in which an origin, or what stands before it, makes programs write down what they had in hand. */
const MISHAPS: [string, Moods][] = [
  ['as ever', {}],
  ['with 500', { status: 500 }],
  ['with 403', { status: 403 }],
  ['with 418', { status: 418 }],
  ['by reset', { resetHeaders: true }],
  ['with half of it', { truncateAt: 10 }],
  ['with a lie', { lie: true }],
  ['with a block page', { html: true }],
  ['with a login page', { loginRedirect: true }],
  ['with a redirect to a port that nobody listens at', { redirectTo: 'http://127.0.0.1:1' }],
  ['with a redirect that has a password in it', { redirectTo: 'http://someone:PASSWORD@127.0.0.3:1' }],
  ['with a redirect to nonsense', { status: 307, headers: { location: 'http://[PASSWORD' } }],
  [
    'with a challenge that has a password in it',
    { status: 401, headers: { 'www-authenticate': 'Bearer realm="PASSWORD"' } },
  ],
];

describe.each([
  ['a Basic registry', ecr],
  ['a registry with tokens', gitlab],
])('with %s', (_kind, kind) => {
  test.each(MISHAPS)('that answers %s nothing secret is written anywhere', async (_name, mood) => {
    await using it = await watched(kind);
    const { house, registry, secret, at } = it;
    const text = JSON.stringify(mood).replaceAll('PASSWORD', secret.password);
    const authorization = (await login(at, secret)) ?? basic(secret);
    const answers: Answer[] = [];
    const everything = async (): Promise<void> => {
      const targets = [
        ...it.digests.map((digest, index) => [index === 0 ? 'manifests' : 'blobs', digest]),
        ['manifests', 'v1'],
      ];
      for (const sent of [authorization, basic(secret), `Bearer ${secret.password}`, `Negotiate ${secret.password}`]) {
        for (const [what = '', reference = ''] of targets) {
          for (const repository of [PRIVATE, OTHER]) {
            const place = { ...at, repository };
            const urls = [
              urlOf(place, what as 'blobs', reference),
              urlOf({ ...place, mirror: house.tierUrl, path: true }, what as 'blobs', reference),
            ];
            for (const url of urls) answers.push(await ask(url, { headers: { authorization: sent } }));
          }
        }
      }
    };
    registry.origin.once(JSON.parse(text) as Moods, {}, 20);
    await everything();
    await pull({ ...at, authorization }).catch(() => undefined); // whether it works is for other tests
    await download(urlOf(at, 'blobs', it.digests[1] ?? ''), { headers: { authorization }, enough: 10 });

    const marks = it.marks();
    expect(marks.length).toBeGreaterThanOrEqual(3);
    expect(await leaksOf(house, marks)).toEqual([]);
    expect(leaksInAnswers(answers, marks)).toEqual([]);
    expect(house.log.length).toBeGreaterThan(0);
  });

  test('whose token service, proxy or request line carries a secret nothing of it is written anywhere', async () => {
    await using it = await watched(kind);
    const { house, secret, at } = it;
    const { password } = secret;
    const paths = [
      `/v2/${PRIVATE}/manifests/v1?ns=${at.registry}&token=${password}`,
      `/v2/${PRIVATE}/manifests/v1?ns=user:${password}@${at.registry}`,
      `/v2/${at.registry}/${PRIVATE}/manifests/v1?access_token=${password}`,
      `/v2/user:${password}@${at.registry}/${PRIVATE}/manifests/v1`,
      `/circ/v1/read/${password}`,
    ];
    const headers = { authorization: basic(secret), cookie: `session=${password}`, 'proxy-authorization': password };
    const answers = await Promise.all(
      [house.mirror, house.tierUrl].flatMap((door) => paths.map((target) => ask(door, { target, headers }))),
    );
    const marks = it.marks();
    expect(await leaksOf(house, marks)).toEqual([]);
    expect(leaksInAnswers(answers, marks)).toEqual([]);
  });

  test('whose secrets did their work, nothing of them is on either disk', async () => {
    await using it = await watched(kind);
    const { house, at, secret } = it;
    for (let time = 1; time <= 2; time += 1) {
      await pull({ ...at, authorization: await login(at, secret) });
      await pull({ ...at, mirror: house.tierUrl, path: true, authorization: basic(secret) });
    }
    await expect.poll(async () => (await house.stored('agent')).length).toBeGreaterThan(0);
    const marks = it.marks();
    const kinds = new Set(marks.map(({ name }) => name));
    expect([...kinds]).toEqual(expect.arrayContaining(['the password', 'a signed read', 'a grant in base64url']));
    const directories = [house.agentDirectory, house.tierDirectory];
    const leaks = await Promise.all(directories.map((directory) => leaksBelow(directory, marks)));
    expect(leaks.flat()).toEqual([]);
  });
});

describe.each([
  ['a Basic registry', ecr],
  ['a registry with tokens', gitlab],
])('of what is preheated from %s', (_kind, kind) => {
  test('nothing secret is in any answer to operators, on the status page, or anywhere else', async () => {
    await using it = await watched(kind);
    const { house, secret, registry } = it;
    using admin = adminOf(house.tierGrpc);
    const image = `${kind.name}/${PRIVATE}:v1`;
    const answers: unknown[] = [];
    const gather = async (answering: Promise<unknown>): Promise<void> => {
      const given = await answering.catch((error: unknown) => error);
      answers.push(given, inspect(given, { depth: 10 }));
    };
    const sent = [basic(secret), `Bearer ${secret.password}`, `Negotiate ${secret.password}`, secret.password];
    registry.origin.once({ status: 500 });
    for (const authorization of [...sent, basic(secret)]) await gather(preheat(admin, { image, authorization }));
    const userinfo = `${USER}:${secret.password}@${kind.name}/x`;
    await gather(preheat(admin, { image: userinfo, authorization: basic(secret) }));
    await gather(admin.stats());
    await gather(admin.repositories({}));
    await gather(admin.blobs({}));
    await gather(admin.fetches().next());
    await gather(fetch(house.statusUrls[1] ?? '').then(async (page) => await page.text()));
    await gather(Array.fromAsync(admin.verify()));
    await gather(admin.evict({ all: true }));
    expect(answers.map((answer) => JSON.stringify(answer)).join()).toContain('PREHEAT_STATE_FETCHED');
    const marks = it.marks();
    expect(leaksIn('answers to operators', Buffer.from(JSON.stringify(answers)), marks)).toEqual([]);
    expect(await leaksOf(house, marks)).toEqual([]);
  });
});

describe('the search itself', () => {
  const mark = { name: 'x', text: 'password-0123456789abcdef' };

  test.each([
    ['plain', `{"msg":"${mark.text}"}`],
    ['URL-encoded', encodeURIComponent(mark.text)],
    ['Basic', Buffer.from(`user:${mark.text}`).toString('base64')],
    ['Basic of a longer name', Buffer.from(`users:${mark.text}`).toString('base64')],
    ['Basic of a still longer name', Buffer.from(`users2:${mark.text}!`).toString('base64')],
    ['hex', Buffer.from(mark.text).toString('hex')],
  ])('finds a secret that is written %s', (_name, text) => {
    expect(leaksIn('here', Buffer.from(`before ${text} behind`), [mark])).not.toEqual([]);
  });

  test('finds nothing where there is nothing', () => {
    expect(leaksIn('here', Buffer.from('password'), [mark])).toEqual([]);
  });
});
