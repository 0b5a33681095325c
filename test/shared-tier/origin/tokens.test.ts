import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest';
import { Authorization } from '../../../oci/authorization.ts';
import type { Repository } from '../../../oci/reference.ts';
import { parseOriginsFile } from '../../../service/origins-file.ts';
import type { Challenge } from '../../../shared-tier/origin/challenge.ts';
import { ANONYMOUS, type Credential } from '../../../shared-tier/origin/credential.ts';
import { Origins } from '../../../shared-tier/origin/origin.ts';
import { type TokenQuestion, Tokens } from '../../../shared-tier/origin/tokens.ts';
import { APP, REGISTRY } from '../fixtures.ts';

const origin = new Origins(
  parseOriginsFile(JSON.stringify({ registries: { [REGISTRY]: { endpoint: 'http://127.0.0.1:5000' } } })),
).get(REGISTRY);

function challenge(parameters: Record<string, string> = { realm: 'http://127.0.0.1:5000/token' }): Challenge {
  return { scheme: 'bearer', parameters: new Map(Object.entries(parameters)) };
}

const alice = credentialOf('alice');
const bob = credentialOf('bob');
const OTHER = 'org/other' as Repository;

function credentialOf(key: string): Credential {
  return { key, authorization: Authorization.basic({ username: key, password: 'x' }), mayBeAsked: false };
}

/** Tokens of an endpoint that gives these answers, the last one again and again. */
function tokensOf(...answers: unknown[]) {
  const asked: TokenQuestion[] = [];
  const tokens = new Tokens(origin, (question) => {
    asked.push(question);
    return Promise.resolve(answers.length > 1 ? answers.shift() : answers[0]);
  });
  return {
    tokens,
    asked,
    known: (repository = APP, who = ANONYMOUS, maxAgeMs = Infinity) => tokens.known(who, repository, maxAgeMs)?.value,
    obtain: async (repository = APP, by = challenge(), who = ANONYMOUS, maxAgeMs = Infinity) =>
      (await tokens.obtain(who, repository, by, maxAgeMs))?.value,
  };
}

describe('a token', () => {
  test.each([[{ token: 'abc' }], [{ access_token: 'abc' }], [{ token: 'abc', access_token: 'other' }]])(
    'is taken from %j',
    async (answer) => {
      expect(await tokensOf(answer).obtain()).toBe('abc');
    },
  );

  test.each<unknown>([
    undefined,
    null,
    'abc',
    [],
    {},
    { token: 1 },
    { token: '' },
    { token: 'a\r\nx-injected: 1' },
    { token: 'a\nb' },
    { token: 'a b' },
    { token: 'a\0' },
    { token: 'ü' },
    { token: 'a'.repeat(16_385) },
  ])('is not taken from %j', async (answer) => {
    const { obtain, known } = tokensOf(answer);
    expect([await obtain(), known()]).toEqual([undefined, undefined]);
  });

  test('is asked for with the service and scope of the challenge', async () => {
    const { obtain, asked } = tokensOf({ token: 'abc' });
    const scope = 'repository:org/app:pull aws';
    await obtain(APP, challenge({ realm: 'http://127.0.0.1:5000/token?a=1', service: 'a&b', scope }), alice);
    const realm = new URL('http://127.0.0.1:5000/token?a=1');
    expect(asked).toEqual([{ realm, service: 'a&b', scope, authorization: alice.authorization }]);
    expect(asked[0]?.authorization?.header).toBe(alice.authorization?.header);
  });

  test('is asked for with the usual scope when the challenge names none', async () => {
    const { obtain, asked } = tokensOf({ token: 'abc' });
    await obtain();
    expect(asked[0]).toMatchObject({ scope: 'repository:org/app:pull', service: undefined, authorization: undefined });
  });

  test.each([
    {},
    { realm: '' },
    { realm: 'not a url' },
    { realm: 'http://127.0.0.1:5001/token' },
    { realm: 'https://evil.example/token' },
    { realm: 'http://u:p@127.0.0.1:5000/token' },
  ])('is asked of nobody for the challenge %j', async (parameters) => {
    const { obtain, asked } = tokensOf({ token: 'abc' });
    expect([await obtain(APP, challenge(parameters), alice), asked]).toEqual([undefined, []]);
  });

  test('is fetched once for all equal callers who need it at the same time', async () => {
    const { obtain, asked } = tokensOf({ token: 'abc' });
    const all = await Promise.all(Array.from({ length: 32 }, () => obtain()));
    expect([new Set(all), asked.length]).toEqual([new Set(['abc']), 1]);
  });

  test('of one repository is not used for another', async () => {
    const { obtain, known, asked } = tokensOf({ token: 'a' }, { token: 'b' });
    await obtain();
    expect(known(OTHER)).toBeUndefined();
    expect([await obtain(OTHER), asked.length]).toEqual(['b', 2]);
  });

  test('of one caller is never used for another, at once or later', async () => {
    const { obtain, known } = tokensOf({ token: 'a' }, { token: 'b' }, { token: 'nobody' });
    const all = await Promise.all([alice, bob, ANONYMOUS].map((who) => obtain(APP, challenge(), who)));
    expect(all).toEqual(['a', 'b', 'nobody']);
    expect([alice, bob, ANONYMOUS].map((who) => known(APP, who))).toEqual(['a', 'b', 'nobody']);
  });

  test('whose scope is wider than a repository serves all of them', async () => {
    const { obtain, asked } = tokensOf({ token: 'a' });
    const wide = challenge({ realm: 'http://127.0.0.1:5000/token', scope: 'aws' });
    expect([await obtain(APP, wide), await obtain(OTHER, wide), asked.length]).toEqual(['a', 'a', 1]);
  });

  test('is fetched again after a failed exchange', async () => {
    const { obtain } = tokensOf({}, { token: 'abc' });
    await obtain();
    expect(await obtain()).toBe('abc');
  });

  test('that was refused is forgotten, but not the one that has taken its place', async () => {
    const { tokens, obtain, known } = tokensOf({ token: 'new' });
    const token = await tokens.obtain(ANONYMOUS, APP, challenge(), Infinity);
    tokens.forget(ANONYMOUS, APP, { value: 'new', sinceMs: 0, untilMs: 0 });
    expect(known()).toBe('new');
    if (token) tokens.forget(ANONYMOUS, APP, token);
    expect([known(), await obtain()]).toEqual([undefined, 'new']);
  });
});

describe('the life of a token', () => {
  beforeEach(() => {
    vi.useFakeTimers({ toFake: ['performance'] });
  });
  afterEach(() => {
    vi.useRealTimers();
  });

  test.each([
    ['60 s when the answer does not tell', {}, 50_000, 61_000],
    ['60 s when the answer tells nonsense', { expires_in: 'soon' }, 50_000, 61_000],
    ['60 s when the answer says 0', { expires_in: 0 }, 50_000, 61_000],
    ['what the answer tells', { expires_in: 300 }, 290_000, 301_000],
    ['at most an hour', { expires_in: 1e9 }, 3_590_000, 3_601_000],
  ])('is %s', async (_name, answer, stillMs, overMs) => {
    const { obtain, known } = tokensOf({ token: 'abc', ...answer });
    await obtain();
    vi.advanceTimersByTime(stillMs);
    expect(known()).toBe('abc');
    vi.advanceTimersByTime(overMs - stillMs);
    expect(known()).toBeUndefined();
  });

  test('that is over at once is used once', async () => {
    const { obtain, known, asked } = tokensOf({ token: 'abc', expires_in: 3 });
    expect([await obtain(), known()]).toEqual(['abc', undefined]);
    await obtain();
    expect(asked).toHaveLength(2);
  });

  test('is over sooner for who wants to know whether its owner’s credentials are still good', async () => {
    const { obtain, known, asked } = tokensOf({ token: 'abc', expires_in: 300 });
    await obtain(APP, challenge(), alice);
    vi.advanceTimersByTime(60_000);
    expect([known(APP, alice, 60_000), known(APP, alice, 60_001), known(APP, alice)]).toEqual([
      undefined,
      'abc',
      'abc',
    ]);
    await obtain(APP, challenge(), alice, 60_000);
    expect(asked).toHaveLength(2);
  });

  test('that may have no age is fetched for each question', async () => {
    const { obtain, asked } = tokensOf({ token: 'abc', expires_in: 300 });
    for (let time = 1; time <= 3; time += 1) await obtain(APP, challenge(), alice, 0);
    expect(asked).toHaveLength(3);
  });
});
