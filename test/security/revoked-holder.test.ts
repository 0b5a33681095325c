import { describe, expect, test } from 'vitest';
import { generatedBlob } from '../support/blobs.ts';
import { authorize } from '../support/containerd-auth.ts';
import { download, urlOf } from '../support/house-client.ts';
import { REGISTRY, startHouse } from '../support/house.ts';
import { ask } from '../support/origin-client.ts';
import type { Moods } from '../support/origin-moods.ts';

const SHARED = 'team/shared';
const SIZE = 2 * 1024 * 1024;
const PEOPLE = ['alice', 'bob', 'carol'] as const;

/** A private repository that Alice and Bob may read, and Carol may not. */
async function shared() {
  const users = Object.fromEntries(
    PEOPLE.map((name) => [name, { password: `${name}'s`, repositories: name === 'carol' ? [] : [SHARED] }]),
  );
  const house = await startHouse({ origin: { auth: 'bearer', users, privateRepositories: [SHARED] } });
  const { origin } = house;
  const { layers } = await origin.addImage(SHARED, 'v1', { layers: [generatedBlob(SIZE)] });
  const digest = layers[0]?.digest ?? '';
  const tokens = await Promise.all(
    PEOPLE.map(async (name) => {
      const secret = { user: name, password: `${name}'s` };
      return (await authorize(origin.challenge(SHARED), SHARED, secret)).authorization ?? '';
    }),
  );
  const [alice = '', bob = '', carol = ''] = tokens;
  const url = (mirror: string): string => urlOf({ mirror, registry: REGISTRY, repository: SHARED }, 'blobs', digest);
  return {
    house,
    origin,
    digest,
    alice: { authorization: alice },
    bob: { authorization: bob },
    carol: { authorization: carol },
    atAgent: url(house.mirror),
    atTier: url(house.tierUrl),
    revokeAlice() {
      origin.access.users.delete('alice');
      origin.tokens.revoke('alice');
    },
    [Symbol.asyncDispose]: () => house[Symbol.asyncDispose](),
  };
}

describe('who waits for a fetch that began with the credential of another', () => {
  test.each([
    ['its connection breaks', { bytesPerSecondPerConnection: SIZE / 2, truncateAt: SIZE / 2 }],
    ['its connection is reset', { bytesPerSecondPerConnection: SIZE / 2, resetAt: SIZE / 2 }],
  ] as [string, Moods][])('gets all of it, when that one is revoked and %s', async (_name, mood) => {
    await using it = await shared();
    it.origin.once(mood, { kind: 'blob', method: 'GET' });
    const first = download(it.atAgent, { headers: it.alice });
    await it.origin.arrived({ kind: 'blob', method: 'GET', digest: it.digest });
    const others = [it.atAgent, it.atTier].map((url) => download(url, { headers: it.bob }));
    const stranger = await ask(it.atTier, { headers: it.carol });
    await expect
      .poll(() => it.origin.requests.some(({ headers }) => headers.authorization === it.bob.authorization), {
        timeout: 5_000,
      })
      .toBe(true);
    it.revokeAlice();

    for (const got of await Promise.all(others)) {
      expect(got).toMatchObject({ status: 200, isWhole: true, digest: it.digest });
    }
    expect(stranger.status).toBe(404);
    const { isWhole, digest } = await first;
    expect(!isWhole || digest === it.digest).toBe(true);
    // What had come was not fetched again.
    expect(it.origin.bodyBytes(it.digest)).toBeLessThan(SIZE * 1.25);
  });

  test('gets it, when that one was no good from the beginning', async () => {
    await using it = await shared();
    it.revokeAlice();
    const [first, other] = await Promise.all([it.alice, it.bob].map((headers) => download(it.atAgent, { headers })));
    expect([401, 404]).toContain(first?.status);
    expect(other).toMatchObject({ status: 200, isWhole: true, digest: it.digest });
  });

  test('gets it, when that one is revoked before the registry has answered', async () => {
    await using it = await shared();
    it.origin.once({ headersDelayMs: 500, status: 503 }, { kind: 'blob', method: 'GET' });
    const first = download(it.atAgent, { headers: it.alice });
    await it.origin.arrived({ kind: 'blob', method: 'GET', digest: it.digest });
    const other = download(it.atTier, { headers: it.bob });
    it.revokeAlice();
    expect(await other).toMatchObject({ status: 200, isWhole: true, digest: it.digest });
    expect([200, 401, 404, 503]).toContain((await first).status);
  });

  test('does not join before a proof of his own, nor learns that there is something to join', async () => {
    await using it = await shared();
    const never = await it.origin.addImage(SHARED, 'v2', { layers: [generatedBlob(SIZE, 5)] });
    it.origin.once({ bytesPerSecondPerConnection: SIZE }, { kind: 'blob', method: 'GET' });
    const first = download(it.atAgent, { headers: it.alice });
    await it.origin.arrived({ kind: 'blob', method: 'GET', digest: it.digest });
    const running = await ask(it.atAgent, { headers: it.carol });
    const absent = it.atAgent.replace(it.digest, never.layers[0]?.digest ?? '');
    const none = await ask(absent, { headers: it.carol });
    expect([running.status, running.body.toString()]).toEqual([404, none.body.toString()]);
    expect(none.status).toBe(404);
    expect(await first).toMatchObject({ status: 200, isWhole: true });
  });
});
