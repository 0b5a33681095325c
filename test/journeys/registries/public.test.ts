import { describe, expect, test } from 'vitest';
import { generatedBlob } from '../../support/blobs.ts';
import { pull } from '../../support/house-client.ts';
import { startHouse } from '../../support/house.ts';
import { REGISTRIES } from '../../support/registries/all.ts';
import type { RegistryKind } from '../../support/registries/registry.ts';

const MIB = 1024 * 1024;
const REPOSITORY = 'library/app';
const open = REGISTRIES.filter(({ hasPublic }) => hasPublic).map((kind) => [kind.name, kind] as const);

/** A registry with one public image, and a house that reaches it as its operator would write it down. */
async function housed(kind: RegistryKind) {
  const running = new AsyncDisposableStack();
  const registry = running.use(await kind.start());
  const image = await registry.addImage(REPOSITORY, 'v1', { layers: [generatedBlob(MIB, 1), generatedBlob(MIB, 2)] });
  const house = running.use(await startHouse({ registries: { [kind.name]: registry } }));
  const place = { registry: kind.name, repository: REPOSITORY, reference: 'v1' };
  const { origin, backend } = registry.hosts;
  return {
    registry,
    image,
    place,
    house,
    /** Where the content is, and so where what costs is counted. */
    counted: backend?.origin ?? origin,
    tokens: registry.hosts.tokenServer ?? origin,
    [Symbol.asyncDispose]: () => running.disposeAsync(),
  };
}

function sizeOf({ image: { config, layers } }: Awaited<ReturnType<typeof housed>>): number {
  return [config, ...layers].reduce((total, { sizeBytes }) => total + sizeBytes, 0);
}

describe.each(open)('a public image of %s', (_name, kind) => {
  test('is pulled again and again, at both doors, with one GET of each of its parts, and one that is not there is not', async () => {
    await using it = await housed(kind);
    for (let time = 1; time <= 3; time += 1) {
      const pulled = await pull({ mirror: it.house.mirror, ...it.place });
      expect(pulled.manifests).toEqual([it.image.manifest.digest]);
      expect(pulled.blobs).toHaveLength(3);
    }
    const { manifest, config, layers } = it.image;
    for (const { digest, sizeBytes } of [config, ...layers]) expect(it.registry.bodyBytes(digest)).toBe(sizeBytes);
    expect(it.counted.count({ kind: 'manifest', method: 'GET', digest: manifest.digest, status: 200 })).toBe(1);
    // Each resolve asks what the tag means now; a phase costs one question at most, and a pull has two phases.
    expect(it.counted.count({ kind: 'manifest', method: 'HEAD', reference: 'v1', status: 200 })).toBe(3);
    expect(it.counted.count({ kind: 'manifest', method: 'HEAD', status: 200 })).toBeLessThanOrEqual(6);
    expect(it.tokens.count({ kind: 'token' })).toBeLessThanOrEqual(1);

    // In the path form, straight from the tier, it is the same image, and costs nothing more.
    await expect(pull({ mirror: it.house.tierUrl, ...it.place, path: true })).resolves.toMatchObject({
      bytes: sizeOf(it),
    });
    expect(it.counted.count({ kind: 'manifest', method: 'GET', status: 200 })).toBe(1);

    const missing = { ...it.place, repository: 'library/none' };
    // Or a challenge, at a registry that does not tell what is missing from what is closed.
    await expect(pull({ mirror: it.house.mirror, ...missing })).rejects.toThrow(/HEAD of v1: 40[14]/);
    expect(it.counted.count({ method: 'GET', repository: missing.repository })).toBe(0);
  });

  test('is pulled by eight nodes at once with one GET of each of its parts', async () => {
    await using it = await housed(kind);
    await Promise.all(Array.from({ length: 8 }, () => pull({ mirror: it.house.mirror, ...it.place })));
    const { manifest, config, layers } = it.image;
    for (const { digest, sizeBytes } of [config, ...layers]) expect(it.registry.bodyBytes(digest)).toBe(sizeBytes);
    expect(it.counted.count({ kind: 'manifest', method: 'GET', digest: manifest.digest, status: 200 })).toBe(1);
    expect(it.tokens.count({ kind: 'token' })).toBeLessThanOrEqual(1);
  });
});
