import { Server, ServerCredentials, status } from '@grpc/grpc-js';
import { describe, expect, test } from 'vitest';
import { OciError } from '../../../oci/error.ts';
import type { SharedTierHandlers } from '../../../proto/generated/circ/v1/SharedTier.ts';
import { loadServices } from '../../../proto/load.ts';
import { type Call, requireIdentity } from '../../../shared-tier/callers/require-identity.ts';
import { HEALTH, OPEN_BLOB, RESOLVE, TestCaller, guarded } from './fixtures.ts';

/** Lets in who has exactly one token, this one. */
const onlySesame = async ({ tokens }: { tokens: readonly string[] }): Promise<void> => {
  if (tokens.length !== 1 || tokens[0] !== 'sesame') throw new OciError('UNAUTHORIZED', 'say the word');
};

describe('a server that requires identity', () => {
  test.each<[string, (caller: TestCaller) => ReturnType<TestCaller['ask']>]>([
    ['OpenBlob', (caller) => caller.ask(OPEN_BLOB)],
    ['ResolveManifest', (caller) => caller.ask(RESOLVE)],
    ['reflection', (caller) => caller.list('v1')],
    ['the older reflection', (caller) => caller.list('v1alpha')],
  ])('refuses %s to who has none, before any handler, and lets in who has it', async (_name, call) => {
    await using it = await guarded({ check: onlySesame });
    using stranger = new TestCaller(it.port);
    expect(await call(stranger)).toEqual({ code: status.UNAUTHENTICATED, details: 'say the word' });
    expect(it.asked).toEqual([]);
    using known = new TestCaller(it.port, { tokens: ['sesame'] });
    expect([status.OK, status.INVALID_ARGUMENT]).toContain((await call(known)).code);
  });

  test('answers health to everybody', async () => {
    await using it = await guarded({ check: onlySesame });
    using stranger = new TestCaller(it.port);
    expect(await stranger.ask(HEALTH)).toEqual({ code: status.OK, details: '' });
    expect(it.refusals).toEqual([]);
  });

  test('hands all of a caller´s tokens to the check', async () => {
    await using it = await guarded({ check: onlySesame });
    using caller = new TestCaller(it.port, { tokens: ['sesame', 'sesame'] });
    expect((await caller.ask(OPEN_BLOB)).code).toBe(status.UNAUTHENTICATED);
  });

  test('waits for a check that takes its time', async () => {
    const decided = Promise.withResolvers<void>();
    const begun = Promise.withResolvers<void>();
    await using it = await guarded({
      check: async () => {
        begun.resolve();
        await decided.promise;
      },
    });
    using caller = new TestCaller(it.port);
    const asking = caller.ask(OPEN_BLOB);
    await begun.promise;
    expect(it.asked).toEqual([]);
    decided.resolve();
    expect((await asking).code).toBe(status.INVALID_ARGUMENT);
    expect(it.asked).toEqual(['OpenBlob']);
  });

  test('tells an identity that cannot be checked from one that is refused', async () => {
    await using it = await guarded({
      check: () => Promise.reject(new OciError('UNAVAILABLE', 'the API is down')),
    });
    using caller = new TestCaller(it.port);
    expect(await caller.ask(OPEN_BLOB)).toEqual({ code: status.UNAVAILABLE, details: 'the API is down' });
  });

  test('tells who is not known from who is known and may not', async () => {
    await using it = await guarded({
      check: () => Promise.reject(new OciError('UNAUTHORIZED', 'you may not', { denied: true })),
    });
    using caller = new TestCaller(it.port);
    expect(await caller.ask(OPEN_BLOB)).toEqual({ code: status.PERMISSION_DENIED, details: 'you may not' });
  });

  test('tells the check what is called, and from where', async () => {
    const calls: Call[] = [];
    await using it = await guarded({
      check: (call) => {
        calls.push(call);
        return Promise.resolve();
      },
    });
    using caller = new TestCaller(it.port);
    await caller.ask(OPEN_BLOB);
    expect(calls).toEqual([
      expect.objectContaining({ path: OPEN_BLOB, peer: expect.stringMatching(/^127\.0\.0\.1:\d+$/) as string }),
    ]);
  });

  test('refuses when the check itself fails, and tells nothing of why', async () => {
    await using it = await guarded({ check: () => Promise.reject(new TypeError('a bug, with a secret')) });
    using caller = new TestCaller(it.port);
    const { code, details } = await caller.ask(OPEN_BLOB);
    expect([code, details]).toEqual([status.UNAVAILABLE, 'internal error']);
  });

  test('reports who was refused, and why', async () => {
    await using it = await guarded({ check: onlySesame });
    using stranger = new TestCaller(it.port);
    await stranger.ask(OPEN_BLOB);
    expect(it.refusals).toEqual([
      [expect.objectContaining({ message: 'say the word' }), expect.stringMatching(/^127\.0\.0\.1:\d+$/)],
    ]);
  });

  test('keeps the token from what is behind it', async () => {
    const seen: string[] = [];
    const server = new Server({ interceptors: [requireIdentity(onlySesame, () => undefined)] });
    const handlers: SharedTierHandlers = {
      OpenBlob: ({ metadata }, callback) => {
        seen.push(...Object.keys(metadata.getMap()));
        callback(null, {});
      },
      ResolveManifest: (_call, callback) => callback(null, {}),
      List: (_call, callback) => callback(null, {}),
    };
    server.addService(loadServices().SharedTier.service, handlers);
    const { promise, resolve } = Promise.withResolvers<number>();
    server.bindAsync('127.0.0.1:0', ServerCredentials.createInsecure(), (_error, port) => resolve(port));
    using caller = new TestCaller(await promise, { tokens: ['sesame'] });
    expect((await caller.ask(OPEN_BLOB)).code).toBe(status.OK);
    expect(seen).toContain('user-agent');
    expect(seen).not.toContain('circ-agent-token');
    server.forceShutdown();
  });
});
