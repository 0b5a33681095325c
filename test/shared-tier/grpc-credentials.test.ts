import { status } from '@grpc/grpc-js';
import { describe, expect, test } from 'vitest';
import { parseAllowedCallers } from '../../shared-tier/callers/allowed-callers.ts';
import { callerCheck } from '../../shared-tier/callers/caller-check.ts';
import { FollowingServerCredentials } from '../../shared-tier/grpc-credentials.ts';
import { TestCa } from '../support/certificates.ts';
import { type Pem, testMaterial } from '../support/material.ts';
import { type CallerOptions, HEALTH, OPEN_BLOB, TestCaller, guarded } from './callers/fixtures.ts';

const [ca, otherCa] = [new TestCa(), new TestCa('another CA')];
const server = ca.issue({ names: ['tier.test'] });
const noReviews = () => Promise.reject(new Error('nobody asks'));

async function serving(clients: string, pem: Pem = { ...server, ca: ca.pem }) {
  const stack = new AsyncDisposableStack();
  const tls = stack.use(await testMaterial(pem));
  const allowed = parseAllowedCallers(clients);
  const credentials = stack.use(
    new FollowingServerCredentials(tls.material, { asksForCertificate: allowed.kind === 'mtls' }),
  );
  const it = stack.use(await guarded({ check: await callerCheck(allowed, noReviews), credentials }));
  return {
    ...it,
    tls,
    ask: async (path: string, caller: CallerOptions) => {
      using client = new TestCaller(it.port, caller);
      return await client.ask(path);
    },
    [Symbol.asyncDispose]: () => stack[Symbol.asyncDispose](),
  };
}

/** What gets in is told that its request is empty. */
const LET_IN = status.INVALID_ARGUMENT;

describe('gRPC over TLS', () => {
  test('serves who trusts its CA, and nobody without TLS', async () => {
    await using it = await serving('any');
    expect((await it.ask(OPEN_BLOB, { tls: { ca: ca.pem } })).code).toBe(LET_IN);
    expect((await it.ask(OPEN_BLOB, { tls: { ca: otherCa.pem } })).code).toBe(status.UNAVAILABLE);
    expect((await it.ask(OPEN_BLOB, {})).code).toBe(status.UNAVAILABLE);
  });

  test('gives new connections the new certificate, while old ones go on', async () => {
    await using it = await serving('any');
    using old = new TestCaller(it.port, { tls: { ca: ca.pem } });
    expect((await old.ask(OPEN_BLOB)).code).toBe(LET_IN);
    await it.tls.rotate({ ...otherCa.issue({ names: ['tier.test'] }), ca: ca.pem });
    expect((await old.ask(OPEN_BLOB)).code).toBe(LET_IN);
    expect((await it.ask(OPEN_BLOB, { tls: { ca: ca.pem } })).code).toBe(status.UNAVAILABLE);
    expect((await it.ask(OPEN_BLOB, { tls: { ca: otherCa.pem } })).code).toBe(LET_IN);
  });

  test('goes on with the old certificate when the new files are no use', async () => {
    await using it = await serving('any');
    await it.tls.rotate({ cert: 'nonsense', key: 'nonsense', ca: ca.pem });
    expect((await it.ask(OPEN_BLOB, { tls: { ca: ca.pem } })).code).toBe(LET_IN);
  });
});

describe('gRPC with client certificates', () => {
  const CLIENTS = 'mtls:agent.test,spiffe://td/agent';
  const issue = (from: TestCa, options: Parameters<TestCa['issue']>[0]) => ({
    tls: { ca: ca.pem, ...from.issue({ usage: 'client', ...options }) },
  });

  test.each([
    ['a listed name', { names: ['other.test', 'agent.test'] }],
    ['a listed URI', { uris: ['spiffe://td/agent'] }],
  ])('lets in who has %s', async (_name, options) => {
    await using it = await serving(CLIENTS);
    expect((await it.ask(OPEN_BLOB, issue(ca, options))).code).toBe(LET_IN);
  });

  test.each<[string, CallerOptions, string]>([
    ['no certificate', { tls: { ca: ca.pem } }, 'set CIRC_TLS_CERT_FILE'],
    ['a token instead', { tls: { ca: ca.pem }, tokens: ['x'] }, 'set CIRC_TLS_CERT_FILE'],
    ['a name that is not listed', issue(ca, { names: ['stranger.test'] }), 'stranger.test'],
    ['a listed name as a part', issue(ca, { names: ['x.agent.test'] }), 'x.agent.test'],
    ['a listed URI as a DNS name of another kind', issue(ca, { uris: ['spiffe://td/agent/x'] }), 'spiffe://td/agent/x'],
    ['a listed name of another CA', issue(otherCa, { names: ['agent.test'] }), 'no client certificate'],
    ['a listed name that has ended', issue(ca, { names: ['agent.test'], validForMs: -1_000 }), 'no client certificate'],
    ['a listed name on a server´s certificate', issue(ca, { names: ['agent.test'], usage: 'server' }), 'no client'],
  ])('refuses who has %s, and says what to do', async (_name, caller, told) => {
    await using it = await serving(CLIENTS);
    const { code, details } = await it.ask(OPEN_BLOB, caller);
    expect([code, details]).toEqual([status.UNAUTHENTICATED, expect.stringContaining(told)]);
    expect(it.asked).toEqual([]);
  });

  test('answers health without one', async () => {
    await using it = await serving(CLIENTS);
    expect((await it.ask(HEALTH, { tls: { ca: ca.pem } })).code).toBe(status.OK);
  });

  test('follows a change of the CA that vouches for clients', async () => {
    await using it = await serving(CLIENTS);
    const caller = issue(otherCa, { names: ['agent.test'] });
    expect((await it.ask(OPEN_BLOB, caller)).code).toBe(status.UNAUTHENTICATED);
    await it.tls.rotate({ ...server, ca: `${ca.pem}${otherCa.pem}` });
    expect((await it.ask(OPEN_BLOB, caller)).code).toBe(LET_IN);
  });
});
