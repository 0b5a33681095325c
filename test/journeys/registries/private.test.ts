import { describe, expect, test } from 'vitest';
import { MANIFEST_MEDIA_TYPES } from '../../../oci/descriptor.ts';
import { type Secret, authorize, basic } from '../../support/containerd-auth.ts';
import { urlOf } from '../../support/house-client.ts';
import { startHouse } from '../../support/house.ts';
import { ask } from '../../support/origin-client.ts';
import { REGISTRIES } from '../../support/registries/all.ts';
import { OTHER, PRIVATE, stocked } from '../../support/registries/fixtures.ts';
import type { RegistryKind } from '../../support/registries/registry.ts';

const closed = REGISTRIES.filter(({ user }) => user !== undefined).map((kind) => [kind.name, kind] as const);
const LAYER = Buffer.alloc(100_000, 'layer');
/** Refused: by the mirror, or already by the token service, which makes the client give the mirror up. */
const REFUSED = [404, 0];
const accept = [...MANIFEST_MEDIA_TYPES, '*/*'].join(', ');

async function housed(kind: RegistryKind) {
  const running = new AsyncDisposableStack();
  const stock = running.use(await stocked(kind, LAYER));
  const house = running.use(await startHouse({ registries: { [kind.name]: stock.registry } }));
  const { secret } = stock;
  if (!secret) throw new Error('this registry has no private images');

  /** Status of a request as containerd makes it: bare, then with what the challenge leads to. */
  const asContainerd = async (repository: string, path: string, by: Secret = secret): Promise<[number, number]> => {
    const url = `${house.mirror}/v2/${repository}/${path}?ns=${kind.name}`;
    const bare = await ask(url, { headers: { accept } });
    if (bare.status !== 401) return [bare.status, bare.status];
    const { authorization } = await authorize(bare.headers['www-authenticate'], repository, by);
    if (authorization === undefined) return [bare.status, 0];
    return [bare.status, (await ask(url, { headers: { accept, authorization } })).status];
  };
  /** The same as podman makes it: with the secret itself, and the registry in the path. */
  const asPodman = async (repository: string, reference: string, by: Secret = secret): Promise<number> => {
    const place = { mirror: house.tierUrl, registry: kind.name, repository, path: true };
    const isDigest = reference.includes(':');
    const url = urlOf(place, isDigest ? 'blobs' : 'manifests', reference);
    return (await ask(url, { headers: { accept, authorization: basic(by) } })).status;
  };
  return { ...stock, house, asContainerd, asPodman, [Symbol.asyncDispose]: () => running.disposeAsync() };
}

describe.each(closed)('a private image of %s', (_name, kind) => {
  test('is given to who may read it, by ns and by path, and to nobody else, cached or not', async () => {
    await using it = await housed(kind);
    const stranger = { user: it.secret?.user ?? '', password: 'guessed' };
    const blob = `blobs/${it.layer}`;
    // Nothing is cached yet.
    expect(REFUSED).toContain((await it.asContainerd(OTHER, 'manifests/v1'))[1]);
    expect(await it.asPodman(OTHER, 'v1')).toBe(404);
    expect(await it.asPodman(OTHER, it.layer)).toBe(404);
    expect(await it.asPodman(PRIVATE, 'v1', stranger)).toBe(404);
    // Now somebody who may read it does.
    expect(await it.asContainerd(PRIVATE, 'manifests/v1')).toEqual([401, 200]);
    expect(await it.asContainerd(PRIVATE, blob)).toEqual([401, 200]);
    expect(await it.asPodman(PRIVATE, 'v1')).toBe(200);
    expect(await it.asPodman(PRIVATE, it.layer)).toBe(200);
    // The same layer is in the other repository as well, and now it is cached.
    expect(REFUSED).toContain((await it.asContainerd(OTHER, 'manifests/v1'))[1]);
    expect(REFUSED).toContain((await it.asContainerd(OTHER, blob))[1]);
    expect(await it.asPodman(OTHER, it.layer)).toBe(404);
    expect(await it.asPodman(PRIVATE, 'v1', stranger)).toBe(404);
    expect(await it.asPodman(PRIVATE, it.layer, stranger)).toBe(404);
  });

  test('is fetched once for all who may read it', async () => {
    await using it = await housed(kind);
    for (let time = 1; time <= 2; time += 1) {
      await it.asContainerd(PRIVATE, 'manifests/v1');
      await Promise.all(Array.from({ length: 4 }, () => it.asContainerd(PRIVATE, `blobs/${it.layer}`)));
      await it.asPodman(PRIVATE, it.layer);
    }
    // A proof by GET, where HEAD is of no use, costs a byte.
    expect(it.registry.bodyBytes(it.layer) - LAYER.length).toBeLessThanOrEqual(10);
    expect(JSON.stringify(it.house.log)).not.toContain(it.secret?.password);
  });
});
