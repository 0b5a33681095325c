import { describe, expect, test } from 'vitest';
import { parseAllowedCallers } from '../../../shared-tier/callers/allowed-callers.ts';
import { callerCheck } from '../../../shared-tier/callers/caller-check.ts';
import { KubernetesApi } from '../../../shared-tier/kubernetes/api.ts';
import { TokenReviews } from '../../../shared-tier/kubernetes/token-reviews.ts';
import { testKubernetesApi } from '../../support/kubernetes-api.ts';

async function checking(clients: string) {
  const stack = new AsyncDisposableStack();
  const api = stack.use(await testKubernetesApi());
  const client = stack.use(new KubernetesApi({ answerMs: 5_000 }));
  client.loadFromString(api.kubeconfig);
  const check = await callerCheck(
    parseAllowedCallers(clients),
    async (audience) => new TokenReviews({ api: client, audience }),
  );
  api.tokens.set('agent', { user: 'system:serviceaccount:circ:agent', audiences: ['circ'] });
  api.tokens.set('stranger', { user: 'system:serviceaccount:circ:stranger', audiences: ['circ'] });
  api.tokens.set('admin', { user: 'system:admin', audiences: ['circ'] });
  return {
    api,
    check: async (...tokens: string[]) => await check({ tokens, certificate: undefined }),
    [Symbol.asyncDispose]: () => stack[Symbol.asyncDispose](),
  };
}

describe('with tokenreview, a caller', () => {
  test('that is a listed ServiceAccount is let in', async () => {
    await using it = await checking('tokenreview:circ:circ/other,circ/agent');
    await expect(it.check('agent')).resolves.toBeUndefined();
  });

  test.each([
    ['another ServiceAccount', 'stranger', 'system:serviceaccount:circ:stranger is not listed'],
    ['a user', 'admin', 'system:admin is not listed'],
    ['nobody', 'nonsense', 'not valid'],
  ])('that is %s is refused', async (_name, token, told) => {
    await using it = await checking('tokenreview:circ:circ/agent');
    await expect(it.check(token)).rejects.toMatchObject({
      code: 'UNAUTHORIZED',
      message: expect.stringContaining(told) as string,
    });
  });

  test('that sends no token, or two, is refused without asking', async () => {
    await using it = await checking('tokenreview:circ:circ/agent');
    for (const tokens of [[], ['agent', 'agent']]) {
      await expect(it.check(...tokens)).rejects.toMatchObject({
        code: 'UNAUTHORIZED',
        message: expect.stringContaining('CIRC_TIER_TOKEN_FILE') as string,
      });
    }
    expect(it.api.reviews).toHaveLength(0);
  });
});

test('with any, everybody is let in and nobody asked', async () => {
  await using it = await checking('any');
  await expect(it.check()).resolves.toBeUndefined();
  expect(it.api.reviews).toHaveLength(0);
});
