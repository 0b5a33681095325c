import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest';
import type { Repository } from '../../../oci/reference.ts';
import { parseOriginsFile } from '../../../service/origins-file.ts';
import type { Challenge } from '../../../shared-tier/origin/challenge.ts';
import { Origins } from '../../../shared-tier/origin/origin.ts';
import { AnonymousTokens } from '../../../shared-tier/origin/tokens.ts';
import { APP, REGISTRY } from '../fixtures.ts';

const origin = new Origins(
  parseOriginsFile(JSON.stringify({ registries: { [REGISTRY]: { endpoint: 'http://127.0.0.1:5000' } } })),
).get(REGISTRY);

function challenge(parameters: Record<string, string> = { realm: 'http://127.0.0.1:5000/token' }): Challenge {
  return { scheme: 'bearer', parameters: new Map(Object.entries(parameters)) };
}

/** Tokens of an endpoint that gives these answers, the last one again and again. */
function tokensOf(...answers: unknown[]) {
  const asked: URL[] = [];
  const tokens = new AnonymousTokens(origin, (url) => {
    asked.push(url);
    return Promise.resolve(answers.length > 1 ? answers.shift() : answers[0]);
  });
  return { tokens, asked };
}

describe('a token', () => {
  test.each([[{ token: 'abc' }], [{ access_token: 'abc' }], [{ token: 'abc', access_token: 'other' }]])(
    'is taken from %j',
    async (answer) => {
      expect(await tokensOf(answer).tokens.obtain(APP, challenge())).toBe('abc');
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
    const { tokens } = tokensOf(answer);
    expect([await tokens.obtain(APP, challenge()), tokens.known(APP)]).toEqual([undefined, undefined]);
  });

  test('is asked for with the service and scope of the challenge', async () => {
    const { tokens, asked } = tokensOf({ token: 'abc' });
    const scope = 'repository:org/app:pull aws';
    await tokens.obtain(APP, challenge({ realm: 'http://127.0.0.1:5000/token?a=1', service: 'a&b', scope }));
    expect(Object.fromEntries(asked[0]?.searchParams ?? [])).toEqual({ a: '1', service: 'a&b', scope });
  });

  test('is asked for with the usual scope when the challenge names none', async () => {
    const { tokens, asked } = tokensOf({ token: 'abc' });
    await tokens.obtain(APP, challenge());
    expect(asked[0]?.search).toBe('?scope=repository%3Aorg%2Fapp%3Apull');
  });

  test.each([
    {},
    { realm: '' },
    { realm: 'not a url' },
    { realm: 'http://127.0.0.1:5001/token' },
    { realm: 'https://evil.example/token' },
    { realm: 'http://u:p@127.0.0.1:5000/token' },
  ])('is asked of nobody for the challenge %j', async (parameters) => {
    const { tokens, asked } = tokensOf({ token: 'abc' });
    expect([await tokens.obtain(APP, challenge(parameters)), asked]).toEqual([undefined, []]);
  });

  test('is fetched once for all who need it at the same time', async () => {
    const { tokens, asked } = tokensOf({ token: 'abc' });
    const all = await Promise.all(Array.from({ length: 32 }, () => tokens.obtain(APP, challenge())));
    expect([new Set(all), asked.length]).toEqual([new Set(['abc']), 1]);
  });

  test('of one repository is not used for another', async () => {
    const { tokens, asked } = tokensOf({ token: 'a' }, { token: 'b' });
    await tokens.obtain(APP, challenge());
    expect(tokens.known('org/other' as Repository)).toBeUndefined();
    expect([await tokens.obtain('org/other' as Repository, challenge()), asked.length]).toEqual(['b', 2]);
  });

  test('is fetched again after a failed exchange', async () => {
    const { tokens } = tokensOf({}, { token: 'abc' });
    await tokens.obtain(APP, challenge());
    expect(await tokens.obtain(APP, challenge())).toBe('abc');
  });

  test('that was refused is forgotten, but not the one that has taken its place', async () => {
    const { tokens } = tokensOf({ token: 'new' });
    await tokens.obtain(APP, challenge());
    tokens.forget(APP, 'old');
    expect(tokens.known(APP)).toBe('new');
    tokens.forget(APP, 'new');
    expect(tokens.known(APP)).toBeUndefined();
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
    const { tokens } = tokensOf({ token: 'abc', ...answer });
    await tokens.obtain(APP, challenge());
    vi.advanceTimersByTime(stillMs);
    expect(tokens.known(APP)).toBe('abc');
    vi.advanceTimersByTime(overMs - stillMs);
    expect(tokens.known(APP)).toBeUndefined();
  });

  test('that is over at once is used once', async () => {
    const { tokens, asked } = tokensOf({ token: 'abc', expires_in: 3 });
    expect([await tokens.obtain(APP, challenge()), tokens.known(APP)]).toEqual(['abc', undefined]);
    await tokens.obtain(APP, challenge());
    expect(asked).toHaveLength(2);
  });
});
