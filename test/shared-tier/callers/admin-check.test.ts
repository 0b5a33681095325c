import { describe, expect, test } from 'vitest';
import type { CallerCheck } from '../../../shared-tier/callers/caller-check.ts';
import { OciError } from '../../../oci/error.ts';
import { adminCheck } from '../../../shared-tier/callers/admin-check.ts';
import { parseAllowedCallers } from '../../../shared-tier/callers/allowed-callers.ts';
import { callerCheck } from '../../../shared-tier/callers/caller-check.ts';
import type { Call } from '../../../shared-tier/callers/require-identity.ts';
import { AccessReviews } from '../../../shared-tier/kubernetes/access-reviews.ts';
import { KubernetesApi } from '../../../shared-tier/kubernetes/api.ts';
import { TokenReviews } from '../../../shared-tier/kubernetes/token-reviews.ts';
import { testKubernetesApi } from '../../support/kubernetes-api.ts';

const STATS = '/circ.v1.Admin/GetStats';
const EVICT = '/circ.v1.Admin/Evict';
const OPEN_BLOB = '/circ.v1.SharedTier/OpenBlob';
const ADMIN = 'system:serviceaccount:ops:admin';
const AGENT = 'system:serviceaccount:circ:agent';

const nobody: Call = { tokens: [], certificate: undefined, peer: '10.1.2.3:4567', path: STATS };
const noCertificate: CallerCheck = () => Promise.reject(new OciError('UNAUTHORIZED', 'no certificate'));
const noReviews = (): Promise<never> => Promise.reject(new Error('nobody is to be asked'));

async function checkOf(clients: string) {
  const running = new AsyncDisposableStack();
  const api = running.use(await testKubernetesApi());
  const client = running.use(new KubernetesApi({ answerMs: 2_000 }));
  client.loadFromString(api.kubeconfig);
  const reviews = async (audience: string) => ({
    tokens: new TokenReviews({ api: client, audience }),
    access: new AccessReviews(client),
  });
  const allowed = parseAllowedCallers(clients);
  const others = await callerCheck(allowed, async (audience) => (await reviews(audience)).tokens);
  api.tokens.set('admin', { user: ADMIN, audiences: ['circ'] });
  api.tokens.set('agent', { user: AGENT, audiences: ['circ'] });
  return {
    api,
    check: await adminCheck(allowed, others, reviews),
    [Symbol.asyncDispose]: () => running.disposeAsync(),
  };
}

async function refusalOf(asking: Promise<void>): Promise<Pick<OciError, 'code' | 'denied' | 'message'> | undefined> {
  return await asking.then(
    () => undefined,
    (reason: unknown) => OciError.from(reason),
  );
}

describe('with tokens, the admin service', () => {
  test('is for who has the right by RBAC, method by method', async () => {
    await using it = await checkOf('tokenreview:circ:circ/agent');
    const call = { ...nobody, tokens: ['admin'] };
    it.api.rights.add(`${ADMIN} get ${STATS}`);
    expect(await refusalOf(it.check(call))).toBeUndefined();
    expect(await refusalOf(it.check({ ...call, path: EVICT }))).toMatchObject({ code: 'UNAUTHORIZED', denied: true });
    it.api.rights.add(`${ADMIN} post ${EVICT}`);
    await using fresh = await checkOf('tokenreview:circ:circ/agent');
    fresh.api.rights.add(`${ADMIN} post ${EVICT}`);
    expect(await refusalOf(fresh.check({ ...call, path: EVICT }))).toBeUndefined();
  });

  test('is asked about with all that is known of the caller', async () => {
    await using it = await checkOf('tokenreview:circ:circ/agent');
    await refusalOf(it.check({ ...nobody, tokens: ['admin'] }));
    expect(it.api.accessReviews).toMatchObject([
      {
        spec: {
          user: ADMIN,
          uid: '1',
          groups: ['system:serviceaccounts', 'system:authenticated'],
          nonResourceAttributes: { verb: 'get', path: STATS },
        },
      },
    ]);
  });

  test.each(['Preheat', 'Evict', 'Verify', 'WhatComesLater'])('takes %s for a change', async (method) => {
    await using it = await checkOf('tokenreview:circ:circ/agent');
    await refusalOf(it.check({ ...nobody, tokens: ['admin'], path: `/circ.v1.Admin/${method}` }));
    expect(it.api.accessReviews.map(({ spec }) => spec.nonResourceAttributes?.verb)).toEqual(['post']);
  });

  test('tells who has no right which rule would give it', async () => {
    await using it = await checkOf('tokenreview:circ:circ/agent');
    const refusal = await refusalOf(it.check({ ...nobody, tokens: ['admin'], path: EVICT }));
    expect(refusal?.message).toBe(
      `${ADMIN} may not do this; bind a ClusterRole with nonResourceURLs: ["${EVICT}"], verbs: ["post"]`,
    );
  });

  test.each<[string, string[]]>([
    ['no token', []],
    ['two tokens', ['admin', 'admin']],
    ['a token that is none', ['nonsense']],
  ])('is not for who has %s, wherever it comes from', async (_name, tokens) => {
    await using it = await checkOf('tokenreview:circ:circ/agent');
    const refusal = await refusalOf(it.check({ ...nobody, tokens, peer: '127.0.0.1:4567' }));
    expect(refusal).toMatchObject({ code: 'UNAUTHORIZED', denied: false });
    expect(it.api.accessReviews).toEqual([]);
  });

  test('is not for agents, and being an admin makes nobody an agent', async () => {
    await using it = await checkOf('tokenreview:circ:circ/agent');
    it.api.rights.add(`${ADMIN} get ${STATS}`);
    expect(await refusalOf(it.check({ ...nobody, tokens: ['agent'] }))).toMatchObject({ denied: true });
    expect(await refusalOf(it.check({ ...nobody, tokens: ['agent'], path: OPEN_BLOB }))).toBeUndefined();
    expect(await refusalOf(it.check({ ...nobody, tokens: ['admin'], path: OPEN_BLOB }))).toBeDefined();
  });
});

describe('without tokens, the admin service', () => {
  test.each([
    ['127.0.0.1:4567', true],
    ['[::1]:4567', true],
    ['::1:4567', true],
    ['[::ffff:127.0.0.1]:4567', true],
    ['127.0.0.6:4567', false], // where a service mesh lets others in from
    ['10.127.0.0.1:1', false],
    ['10.1.2.3:4567', false],
    ['[fe80::1]:4567', false],
    ['unknown', false],
  ])('answers %s: %s', async (peer, isLetIn) => {
    const check = await adminCheck({ kind: 'any' }, () => Promise.resolve(), noReviews);
    const refusal = await refusalOf(check({ ...nobody, peer }));
    expect(refusal === undefined).toBe(isLetIn);
    expect(await refusalOf(check({ ...nobody, peer, path: OPEN_BLOB }))).toBeUndefined();
  });

  test('asks for the certificate as well, where there are certificates', async () => {
    const check = await adminCheck({ kind: 'mtls', names: new Set(['agent']) }, noCertificate, noReviews);
    expect(await refusalOf(check({ ...nobody, peer: '127.0.0.1:1' }))).toMatchObject({ message: 'no certificate' });
  });
});
