import { inspect } from 'node:util';
import { describe, expect, test, vi } from 'vitest';
import { OciError } from '../../../oci/error.ts';
import { KubernetesApi } from '../../../shared-tier/kubernetes/api.ts';
import { TokenReviews } from '../../../shared-tier/kubernetes/token-reviews.ts';
import { type TestKubernetesApi, testKubernetesApi } from '../../support/kubernetes-api.ts';

const AGENT = 'system:serviceaccount:circ:agent';

async function reviewing({ ttlMs, answerMs = 2_000 }: { ttlMs?: number; answerMs?: number } = {}) {
  const stack = new AsyncDisposableStack();
  const api = stack.use(await testKubernetesApi());
  const client = stack.use(new KubernetesApi({ answerMs }));
  client.loadFromString(api.kubeconfig);
  const reviews = new TokenReviews({ api: client, audience: 'circ', ...(ttlMs !== undefined && { ttlMs }) });
  api.tokens.set('good', { user: AGENT, audiences: ['circ'] });
  return { api, reviews, [Symbol.asyncDispose]: () => stack[Symbol.asyncDispose]() };
}

async function refusalOf(asking: Promise<unknown>): Promise<OciError> {
  const error: unknown = await asking.then(
    () => undefined,
    (reason: unknown) => reason,
  );
  if (error instanceof OciError) return error;
  throw new Error('no OciError', { cause: error });
}

/** A JWT's form; nobody looks at its signature here. */
function jwt(expiresInS: number): string {
  const claims = { exp: Math.floor(Date.now() / 1000) + expiresInS };
  return `e30.${Buffer.from(JSON.stringify(claims)).toString('base64url')}.sig`;
}

describe('TokenReviews', () => {
  test('asks for its audience, as itself, and gives the user', async () => {
    await using it = await reviewing();
    expect(await it.reviews.userOf('good')).toBe(AGENT);
    expect(it.api.reviews).toEqual([expect.objectContaining({ spec: { token: 'good', audiences: ['circ'] } })]);
    expect(it.api.credentials).toEqual(['Bearer the-tiers-own']);
  });

  test.each<[string, (api: TestKubernetesApi) => void]>([
    ['that the API does not know', (api) => api.tokens.delete('good')],
    ['for another audience', (api) => api.tokens.set('good', { user: AGENT, audiences: ['vault'] })],
    ['from an API that knows no audiences', (api) => (api.mood = { ignoresAudiences: true })],
  ])('refuses a token %s', async (_name, arrange) => {
    await using it = await reviewing();
    arrange(it.api);
    expect((await refusalOf(it.reviews.userOf('good'))).code).toBe('UNAUTHORIZED');
  });

  test('refuses a token of absurd length without asking', async () => {
    await using it = await reviewing();
    expect((await refusalOf(it.reviews.userOf('x'.repeat(20_000)))).code).toBe('UNAUTHORIZED');
    expect(it.api.reviews).toHaveLength(0);
  });

  test('asks once for equal tokens at once, and not again while the answer is fresh', async () => {
    await using it = await reviewing();
    it.api.mood = { delayMs: 50 };
    await Promise.all(Array.from({ length: 20 }, () => it.reviews.userOf('good')));
    await it.reviews.userOf('good');
    expect(it.api.reviews).toHaveLength(1);
  });

  test('asks again when the answer has become old', async () => {
    await using it = await reviewing({ ttlMs: 20 });
    await it.reviews.userOf('good');
    it.api.tokens.delete('good');
    await vi.waitFor(async () => expect((await refusalOf(it.reviews.userOf('good'))).code).toBe('UNAUTHORIZED'), 5_000);
  });

  test('believes an answer no longer than the token lives', async () => {
    await using it = await reviewing();
    const [ended, living] = [jwt(0), jwt(1_000)];
    for (const token of [ended, living]) it.api.tokens.set(token, { user: AGENT, audiences: ['circ'] });
    for (const token of [ended, ended, living, living]) await it.reviews.userOf(token);
    expect(it.api.reviews.map(({ spec }) => spec.token)).toEqual([ended, ended, living]);
  });

  test('tells the renewed token from the one before', async () => {
    await using it = await reviewing();
    it.api.tokens.set('renewed', { user: AGENT, audiences: ['circ'] });
    await it.reviews.userOf('good');
    it.api.tokens.delete('good');
    expect(await it.reviews.userOf('renewed')).toBe(AGENT);
  });

  test('goes on with what it knows when the API is down, and says UNAVAILABLE of others', async () => {
    await using it = await reviewing();
    await it.reviews.userOf('good');
    await it.api.down();
    expect(await it.reviews.userOf('good')).toBe(AGENT);
    expect((await refusalOf(it.reviews.userOf('new'))).code).toBe('UNAVAILABLE');
  });

  test('gives up an API that does not answer in time', async () => {
    await using it = await reviewing({ answerMs: 1_000 });
    it.api.mood = { delayMs: 10_000 };
    const startedAt = performance.now();
    expect((await refusalOf(it.reviews.userOf('good'))).code).toBe('UNAVAILABLE');
    expect(performance.now() - startedAt).toBeLessThan(8_000);
    it.api.mood = {};
    expect(await it.reviews.userOf('good')).toBe(AGENT); // a failure is not remembered
  });

  test.each([
    [403, 'may not create tokenreviews'],
    [500, 'cannot ask the Kubernetes API'],
    [429, 'cannot ask the Kubernetes API'],
  ])('says what to do about %i, and never repeats the token', async (status, message) => {
    await using it = await reviewing();
    it.api.mood = { status };
    const error = await refusalOf(it.reviews.userOf('a-secret-token'));
    expect([error.code, error.message.includes(message)]).toEqual(['UNAVAILABLE', true]);
    expect(inspect(error, { depth: 10 })).not.toContain('a-secret-token');
    expect(inspect(error, { depth: 10 })).toContain(String(status));
  });

  test('has a bound on what it asks at once', async () => {
    await using it = await reviewing({ answerMs: 15_000 });
    it.api.mood = { delayMs: 20 };
    const asked = await Promise.all(
      Array.from({ length: 120 }, (_, index) => refusalOf(it.reviews.userOf(`t${index}`))),
    );
    expect(asked.filter(({ code }) => code === 'UNAVAILABLE')).toHaveLength(20);
    expect(it.api.reviews).toHaveLength(100);
  });
});
