import { describe, expect, test } from 'vitest';
import { generatedBlob } from '../../support/blobs.ts';
import { authorize } from '../../support/containerd-auth.ts';
import { pull } from '../../support/house-client.ts';
import { startHouse } from '../../support/house.ts';
import { ask } from '../../support/origin-client.ts';
import { startDockerHub } from '../../support/registries/docker-hub.ts';

const IMAGE = { registry: 'docker.io', repository: 'library/app', reference: 'v1' };

/** Docker Hub with two images, of which the house has pulled the first. */
async function housed() {
  const running = new AsyncDisposableStack();
  const hub = running.use(await startDockerHub());
  await hub.addImage('library/app', 'v1', { layers: [generatedBlob(1000, 1)] });
  await hub.addImage('library/other', 'v1', { layers: [generatedBlob(1000, 2)] });
  const house = running.use(await startHouse({ registries: { 'docker.io': hub } }));
  await pull({ mirror: house.mirror, ...IMAGE });
  return { hub, house, [Symbol.asyncDispose]: () => running.disposeAsync() };
}

describe('pulls from Docker Hub', () => {
  test('are counted there once for an image, however many there are', async () => {
    await using it = await housed();
    for (let time = 1; time <= 5; time += 1) await pull({ mirror: it.house.mirror, ...IMAGE });
    expect(it.hub.limit.counted()).toBe(1);
  });

  test('of an index are counted once for it and once for each image, as by any client', async () => {
    await using it = await housed();
    const images = await Promise.all(
      ['amd64', 'arm64'].map(async (architecture, seed) => {
        const options = { layers: [generatedBlob(1000, 10 + seed)], platform: { os: 'linux', architecture } };
        return (await it.hub.origin.addImage('library/multi', undefined, options)).manifest;
      }),
    );
    it.hub.origin.addIndex('library/multi', 'v1', images);
    for (let time = 1; time <= 3; time += 1) {
      await pull({ mirror: it.house.mirror, ...IMAGE, repository: 'library/multi' });
    }
    expect(it.hub.limit.counted()).toBe(1 + 3);
  });

  test.each(['index.docker.io', 'registry-1.docker.io'])(
    'by the name %s are of the same registry',
    async (registry) => {
      await using it = await housed();
      await pull({ mirror: it.house.mirror, ...IMAGE, registry, repository: 'app' });
      expect(it.hub.limit.counted()).toBe(1);
    },
  );

  test('of what is cached go on when there is no pull left, and cost none', async () => {
    await using it = await housed();
    it.hub.limit.rules.anonymous = 1;
    for (let time = 1; time <= 3; time += 1) await pull({ mirror: it.house.mirror, ...IMAGE });
    expect(it.hub.limit.counted()).toBe(1);
    expect(it.hub.origin.count({ status: 429 })).toBe(0);
  });

  test('of what is not cached are answered 503 or 401 when there is none left, and never 429', async () => {
    await using it = await housed();
    it.hub.limit.rules.anonymous = 1;
    const url = `${it.house.mirror}/v2/library/other/manifests/v1?ns=docker.io`;
    const startedAt = performance.now();
    const { status, headers } = await ask(url);
    // 401 asks for the caller's own account, which has pulls of its own; 503 sends him to the origin.
    expect([401, 503]).toContain(status);
    expect(headers['retry-after']).toBeUndefined();
    // More than the origin's word of when to come again would hold the client up for nothing.
    expect(performance.now() - startedAt).toBeLessThan(5_000);
  });

  test('that are busy for a moment only are waited for', async () => {
    await using it = await housed();
    it.hub.origin.once({ status: 429, headers: { 'retry-after': '1' } }, { kind: 'manifest' });
    await pull({ mirror: it.house.mirror, ...IMAGE, repository: 'library/other' });
    expect(it.hub.origin.count({ status: 429 })).toBe(1);
  });
});

test('an anonymous pull over the limit is asked for an account, and goes on with that one’s pulls', async () => {
  const users = { alice: { password: 'open sesame', repositories: [] } };
  await using hub = await startDockerHub({ users });
  await hub.addImage('library/app', 'v1', { layers: [generatedBlob(1000, 1)] });
  await using house = await startHouse({ registries: { 'docker.io': hub } });
  hub.limit.rules.anonymous = 0;
  const url = `${house.mirror}/v2/library/app/manifests/v1?ns=docker.io`;
  const bare = await ask(url);
  expect([bare.status, bare.headers['www-authenticate']]).toEqual([401, hub.origin.challenge('library/app')]);
  const secret = { user: 'alice', password: 'open sesame' };
  const { authorization = '' } = await authorize(bare.headers['www-authenticate'], 'library/app', secret);
  expect((await ask(url, { headers: { authorization } })).status).toBe(200);
  expect([hub.limit.counted(), hub.limit.counted('alice')]).toEqual([0, 1]);
});
