import { describe, expect, test } from 'vitest';
import { generatedBlob, readBytes } from '../../support/blobs.ts';
import { basic } from '../../support/containerd-auth.ts';
import { login, pullAs } from '../../support/house-login.ts';
import { pull, urlOf } from '../../support/house-client.ts';
import { startHouse } from '../../support/house.ts';
import { ask } from '../../support/origin-client.ts';
import { REGISTRIES } from '../../support/registries/all.ts';
import { MISSING, OTHER, PRIVATE, PUBLIC, stocked } from '../../support/registries/fixtures.ts';
import type { RegistryKind } from '../../support/registries/registry.ts';

const LAYER = Buffer.from(readBytes(generatedBlob(300_000)));
const kinds = REGISTRIES.filter(({ user }) => user !== undefined).map((kind) => [kind.name, kind] as const);

/** A registry with private images, a house that reaches it, and a secret that opens one of them. */
async function housed(kind: RegistryKind, tier: Record<string, string> = {}) {
  const running = new AsyncDisposableStack();
  const it = running.use(await stocked(kind, LAYER));
  const { registry } = it;
  const house = running.use(await startHouse({ registries: { [kind.name]: registry }, tier }));
  const at = { mirror: house.mirror, registry: kind.name, repository: PRIVATE, reference: 'v1' };
  const { tokenServer, origin } = registry.hosts;
  return {
    ...it,
    secret: it.secret ?? { user: '', password: '' },
    house,
    at,
    tokens: tokenServer?.authority ?? origin.tokens,
    /** What the registry itself says to a bare request. */
    challenge: async (repository: string) => {
      const answer = await ask(`${registry.url}/v2/${repository}/manifests/v1`, { method: 'HEAD' });
      return answer.headers['www-authenticate'];
    },
    [Symbol.asyncDispose]: () => running.disposeAsync(),
  };
}

describe.each(kinds)('a private image of %s', (_name, kind) => {
  test("is asked for with the registry's own challenge, byte for byte", async () => {
    await using it = await housed(kind);
    const challenge = await it.challenge(PRIVATE);
    for (const mirror of [it.house.mirror, it.house.tierUrl]) {
      for (const method of ['HEAD', 'GET']) {
        const answer = await ask(urlOf({ ...it.at, mirror }, 'manifests', 'v1'), { method });
        expect([answer.status, answer.headers['www-authenticate']]).toEqual([401, challenge]);
      }
      const blob = await ask(urlOf({ ...it.at, mirror }, 'blobs', it.layer));
      expect([blob.status, blob.headers['www-authenticate']]).toEqual([401, challenge]);
    }
  });

  test('is pulled by who has the secret, each byte once, and no credential leaves for another host', async () => {
    await using it = await housed(kind);
    for (let time = 1; time <= 3; time += 1) {
      expect((await pullAs(it.at, it.secret)).blobs).toHaveLength(2);
    }
    expect(it.registry.bodyBytes(it.layer)).toBe(LAYER.length);
    const { origin, store } = it.registry.hosts;
    expect(origin.count({ kind: 'manifest', method: 'GET', repository: PRIVATE, status: 200 })).toBe(1);
    expect(origin.count({ kind: 'manifest', method: 'HEAD', repository: PRIVATE, status: 200 })).toBeLessThanOrEqual(6);
    expect(store?.requests.filter(({ headers }) => headers.authorization !== undefined) ?? []).toEqual([]);
  });

  test('stays closed to who has none, or another, after it was cached', async () => {
    await using it = await housed(kind);
    await pullAs(it.at, it.secret);
    // A registry that gives everybody a token makes the client come with one that is good for nothing.
    await expect(pullAs(it.at)).rejects.toThrow(/HEAD of v1: 40[14]/);
    const authorization = (await login(it.at, it.secret)) ?? '';
    const answers = await Promise.all(
      [OTHER, MISSING].flatMap((repository) => [
        ask(urlOf({ ...it.at, repository }, 'manifests', 'v1'), { headers: { authorization } }),
        ask(urlOf({ ...it.at, repository }, 'blobs', it.layer), { headers: { authorization } }),
      ]),
    );
    expect(answers.map(({ status }) => status)).toEqual([404, 404, 404, 404]);
    const bodies = answers.map(({ body }) => body.toString());
    expect(bodies.slice(0, 2)).toEqual(bodies.slice(2)); // nobody learns which of them is there
  });

  test('is not opened by a wrong secret, and a token that has ended is asked for again', async () => {
    await using it = await housed(kind);
    const authorization = (await login(it.at, it.secret)) ?? '';
    it.tokens.revokeAll();
    const isBasic = authorization.startsWith('Basic ');
    const wrong = isBasic ? basic({ user: it.secret.user, password: 'yesterday' }) : authorization;
    const answer = await ask(urlOf(it.at, 'manifests', 'v1'), { headers: { authorization: wrong } });
    const own = await ask(`${it.registry.url}/v2/${PRIVATE}/manifests/v1`, { headers: { authorization: wrong } });
    const isTold = own.headers['www-authenticate']?.includes('error="invalid_token"') === true;
    // Without error= the client would repeat the same token; with it, it fetches another one.
    const challenge = answer.headers['www-authenticate'];
    expect(isTold ? [answer.status, challenge] : [answer.status]).toEqual(
      isTold ? [401, own.headers['www-authenticate']] : [404],
    );
    await expect(pullAs(it.at, it.secret)).resolves.toMatchObject({ manifests: [expect.any(String)] });
  });

  test('is pulled from the tier in the path form, with the secret as it is', async () => {
    await using it = await housed(kind);
    const at = { ...it.at, mirror: it.house.tierUrl, path: true };
    const bare = await ask(urlOf(at, 'manifests', 'v1'), { method: 'HEAD' });
    expect([bare.status, bare.headers['www-authenticate']?.startsWith('Basic ')]).toEqual([401, true]);
    for (let time = 1; time <= 2; time += 1) {
      expect((await pull({ ...at, authorization: basic(it.secret) })).blobs).toHaveLength(2);
    }
    expect(it.registry.bodyBytes(it.layer)).toBe(LAYER.length);
    const wrong = basic({ ...it.secret, password: 'made up' });
    await expect(pull({ ...at, authorization: wrong })).rejects.toThrow(/HEAD of v1: 40[14]/);
    await expect(pull({ ...at, repository: OTHER, authorization: basic(it.secret) })).rejects.toThrow(
      'HEAD of v1: 404',
    );
    const { store } = it.registry.hosts;
    expect(store?.requests.filter(({ headers }) => headers.authorization !== undefined) ?? []).toEqual([]);
  });

  test('is refused as soon as the registry refuses it, where no proof is remembered', async () => {
    await using it = await housed(kind, { CIRC_GRANT_TTL: '0s' });
    const authorization = (await login(it.at, it.secret)) ?? '';
    await pull({ ...it.at, authorization });
    it.tokens.access.users.set(it.secret.user, { password: it.secret.password, repositories: [] });
    it.tokens.revokeAll();
    const urls = [urlOf(it.at, 'manifests', 'v1'), urlOf(it.at, 'blobs', it.layer)];
    for (const url of urls) {
      const { status, body } = await ask(url, { headers: { authorization } });
      expect([401, 404]).toContain(status);
      expect(body.includes(LAYER.subarray(0, 100))).toBe(false);
    }
    await expect(pullAs(it.at, it.secret)).rejects.toThrow(/HEAD of v1: 40[14]/);
  });
});

describe.each(kinds.filter(([, { hasPublic }]) => hasPublic))('a public image of %s', (_name, kind) => {
  test('is pulled with a secret as well as without one', async () => {
    await using it = await housed(kind);
    const at = { ...it.at, repository: PUBLIC };
    await pullAs(at, it.secret);
    await pull({ ...at, mirror: it.house.tierUrl, path: true, authorization: basic(it.secret) });
    await pull(at);
    expect(it.registry.bodyBytes(it.layer)).toBe(LAYER.length);
  });
});
