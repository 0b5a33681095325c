import { describe, expect, test, vi } from 'vitest';
import { digestOf } from '../../oci/digest.ts';
import type { ResolvedManifest } from '../../shared-tier/images.ts';
import type { Moods } from '../support/origin-moods.ts';
import { type Cluster, type TierReplica, clusterOf } from './cluster.ts';
import { APP, REGISTRY, failureOf, placeOf, refOf } from './fixtures.ts';

const GETS = { kind: 'manifest', method: 'GET' } as const;
const SLOW: Moods = { headersDelayMs: 400 };

/** Replicas, and an image at their origin, whose manifest takes a while. */
async function clusterWithImage(count: number, options: Parameters<typeof clusterOf>[1] = {}) {
  const them = await clusterOf(count, options);
  const { manifest } = await them.origin.addImage(APP, 'v1', { layers: [Buffer.from('layer')] });
  them.origin.when(GETS, SLOW);
  return { ...them, manifest, [Symbol.asyncDispose]: () => them[Symbol.asyncDispose]() };
}

async function resolve({ images }: TierReplica, reference = 'v1', repository: string = APP): Promise<ResolvedManifest> {
  const asker = { form: 'ns', authorization: undefined } as const;
  const place = placeOf(repository);
  const question = { place, asker, grant: new Uint8Array(), reference: refOf(reference), accept: [] };
  return await images.resolve({ ...question, withContent: true });
}

function digestsOf(all: readonly ResolvedManifest[]): string[] {
  return all.map(({ content }) => digestOf(content ?? Buffer.alloc(0)));
}

/** Waits until somebody has the manifest's lease. */
async function begun({ kubernetes }: Cluster): Promise<void> {
  await vi.waitFor(() => expect(kubernetes.leases).toHaveLength(1), { interval: 5 });
}

describe('a manifest that several replicas want', () => {
  test('leaves the origin once, for two writes at the Kubernetes API', async () => {
    await using them = await clusterWithImage(3);
    const all = await Promise.all(them.replicas.flatMap((replica) => [resolve(replica), resolve(replica)]));
    expect(new Set(digestsOf(all))).toEqual(new Set([them.manifest.digest]));
    expect(them.origin.count(GETS)).toBe(1);
    expect(them.replicas.flatMap(({ followed, duplicates }) => [...followed, ...duplicates])).toHaveLength(2);
    await vi.waitFor(() => expect(them.kubernetes.leases).toEqual([]));
    expect(them.kubernetes.count('create', 'update', 'delete')).toBe(4); // two writes, and two that came too late
  });

  test('costs each of them a question about its tag, and no more', async () => {
    await using them = await clusterWithImage(3);
    await Promise.all(them.replicas.map((replica) => resolve(replica)));
    expect(them.origin.count({ kind: 'manifest', method: 'HEAD' })).toBe(3);
    expect(them.origin.requests).toHaveLength(4);
  });

  test('is fetched by another one when the first one dies with it', async () => {
    await using them = await clusterWithImage(2, { durationMs: 1_000 });
    them.origin.once({ stallHeaders: true }, GETS);
    resolve(them.replica(0)).catch(() => undefined); // nobody hears of it any more
    await begun(them);
    const waiting = resolve(them.replica(1));
    await vi.waitFor(() => expect(them.replica(1).followed).toEqual(['replica-0']));
    await them.replica(0).kill();
    expect(digestsOf([await waiting])).toEqual([them.manifest.digest]);
    expect(them.replica(1).duplicates).toEqual(['taken-over']);
  });

  test('is fetched by another one at once when the origin refuses the first one', async () => {
    await using them = await clusterWithImage(2);
    them.origin.once({ status: 404, headersDelayMs: 300 }, GETS);
    const refused = failureOf(resolve(them.replica(0)));
    await begun(them);
    expect(digestsOf([await resolve(them.replica(1))])).toEqual([them.manifest.digest]);
    expect((await refused).code).toBe('MANIFEST_UNKNOWN');
    // It cannot know that nothing had come.
    expect([them.origin.count(GETS), them.replica(1).duplicates]).toEqual([2, ['taken-over']]);
  });

  test('is fetched by each of them when nobody can say whose turn it is', async () => {
    await using them = await clusterWithImage(2);
    await them.kubernetes.down();
    const all = await Promise.all(them.replicas.map((replica) => resolve(replica)));
    expect(new Set(digestsOf(all))).toEqual(new Set([them.manifest.digest]));
    expect(them.replicas.map(({ duplicates }) => duplicates)).toEqual([['uncoordinated'], ['uncoordinated']]);
  });

  test('is no proof that it is in another repository', async () => {
    await using them = await clusterWithImage(2);
    const fetching = resolve(them.replica(0));
    await begun(them);
    const { images } = them.replica(0);
    expect(await images.read(placeOf('org/other'), them.manifest.digest)).toBeUndefined();
    expect((await failureOf(resolve(them.replica(1), them.manifest.digest, 'org/other'))).code).toBe(
      'MANIFEST_UNKNOWN',
    );
    await using content = await images.read({ registry: REGISTRY }, them.manifest.digest);
    expect(content?.sizeBytes).toBe(them.manifest.sizeBytes);
    await fetching;
  });

  test('is asked for by its tag at each of them where registries tell no digest', async () => {
    await using them = await clusterWithImage(2);
    them.origin.when({ kind: 'manifest' }, { digestHeader: 'none' });
    const all = await Promise.all(them.replicas.map((replica) => resolve(replica)));
    expect(new Set(digestsOf(all))).toEqual(new Set([them.manifest.digest]));
    expect([them.origin.count(GETS), them.kubernetes.count('create')]).toEqual([2, 0]);
  });
});
