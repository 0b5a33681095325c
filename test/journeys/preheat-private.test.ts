import { describe, expect, test } from 'vitest';
import { generatedBlob } from '../support/blobs.ts';
import { basic } from '../support/containerd-auth.ts';
import { adminOf, preheat } from '../support/house-admin.ts';
import { urlOf } from '../support/house-client.ts';
import { pullAs } from '../support/house-login.ts';
import { startHouse } from '../support/house.ts';
import { ask } from '../support/origin-client.ts';
import { PRIVATE } from '../support/registries/fixtures.ts';
import { gitlab } from '../support/registries/gitlab.ts';

describe('a private image that was preheated', () => {
  const secret = { user: 'deploy', password: 'a-deploy-token' };

  async function privateHouse() {
    const running = new AsyncDisposableStack();
    const users = { [secret.user]: { password: secret.password, repositories: [PRIVATE] } };
    const registry = running.use(await gitlab.start({ users, privateRepositories: [PRIVATE] }));
    const image = await registry.addImage(PRIVATE, 'v1', { layers: [generatedBlob(100_000)] });
    const house = running.use(await startHouse({ registries: { [gitlab.name]: registry } }));
    const admin = running.use(adminOf(house.tierGrpc));
    const name = `${gitlab.name}/${PRIVATE}:v1`;
    return { registry, house, admin, image, name, [Symbol.asyncDispose]: () => running.disposeAsync() };
  }

  test('needs credentials', async () => {
    await using it = await privateHouse();
    await expect(preheat(it.admin, { image: it.name })).rejects.toMatchObject({ code: 'UNAUTHORIZED' });
    const wrong = basic({ ...secret, password: 'wrong' });
    await expect(preheat(it.admin, { image: it.name, authorization: wrong })).rejects.toMatchObject({
      code: 'MANIFEST_UNKNOWN',
    });
  });

  test('is there for who may read it at the origin, and for nobody else', async () => {
    await using it = await privateHouse();
    const { last } = await preheat(it.admin, { image: it.name, authorization: basic(secret) });
    expect(last).toMatchObject({ objectsFailed: 0, done: true });
    const layer = it.image.layers[0]?.digest ?? '';
    const place = { mirror: it.house.mirror, registry: gitlab.name, repository: PRIVATE };
    const gets = (): number => it.registry.origin.count({ method: 'GET', digest: layer });
    for (const headers of [{}, { authorization: basic({ user: 'other', password: 'x' }) }]) {
      for (const [kind, reference] of [
        ['manifests', 'v1'],
        ['blobs', layer],
      ] as const) {
        const { status } = await ask(urlOf(place, kind, reference), { headers });
        expect([401, 404]).toContain(status);
      }
    }
    const before = gets();
    await pullAs({ ...place, reference: 'v1' }, secret);
    expect(gets()).toBe(before);
  });
});
