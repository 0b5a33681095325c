import { afterEach, describe, expect, test, vi } from 'vitest';
import { digestOf } from '../../oci/digest.ts';
import { parseRegistry } from '../../oci/reference.ts';
import { Proofs } from '../../shared-tier/proofs.ts';
import { Seal } from '../../shared-tier/seal.ts';
import { startOrigin } from '../support/origin.ts';
import { APP, REGISTRY, clientsOf, failureOf, placeOf, refOf } from './fixtures.ts';

const key = Buffer.alloc(32, 3);
const tag = refOf('v1');
const NONE = new Uint8Array();
const here = placeOf(APP);
const there = placeOf('org/other');
const child = digestOf(Buffer.from('child'));

function proofsOf(ttlMs = 60_000): Proofs {
  return new Proofs({ seal: new Seal(key, 'grant'), ttlMs });
}

async function registryOf() {
  const stack = new AsyncDisposableStack();
  const origin = stack.use(await startOrigin());
  const { manifest, layers } = await origin.addImage(APP, 'v1', { layers: [Buffer.from('layer')] });
  const { registry } = stack.use(clientsOf({ [REGISTRY]: origin }));
  return {
    origin,
    digest: manifest.digest,
    layer: layers[0]?.digest ?? child,
    client: registry(),
    [Symbol.asyncDispose]: () => stack[Symbol.asyncDispose](),
  };
}

afterEach(() => {
  vi.useRealTimers();
});

describe('a proof', () => {
  test('of equal questions at once is one HEAD', async () => {
    await using it = await registryOf();
    const proofs = proofsOf();
    await Promise.all(Array.from({ length: 32 }, () => proofs.manifest(it.client, here, tag, [])));
    await Promise.all(Array.from({ length: 32 }, () => proofs.blob(it.client, here, it.layer)));
    expect(it.origin.requests.map(({ method, kind }) => [method, kind])).toEqual([
      ['HEAD', 'manifest'],
      ['HEAD', 'blob'],
    ]);
  });

  test('of questions that accept other types is another HEAD', async () => {
    await using it = await registryOf();
    const proofs = proofsOf();
    await Promise.all([['a/b'], ['c/d']].map((accept) => proofs.manifest(it.client, here, tag, accept)));
    expect(it.origin.requests).toHaveLength(2);
  });

  test('is of this object in this repository', async () => {
    await using it = await registryOf();
    const proofs = proofsOf();
    await proofs.manifest(it.client, here, tag, []);
    expect([proofs.isProved(here, it.digest), proofs.isGranted(here, NONE)]).toEqual([true, true]);
    expect([proofs.isProved(there, it.digest), proofs.isGranted(there, NONE)]).toEqual([false, false]);
    expect(proofs.isProved(here, it.layer)).toBe(false);
  });

  test('of a blob grants nothing else of the repository', async () => {
    await using it = await registryOf();
    const proofs = proofsOf();
    await proofs.blob(it.client, here, it.layer);
    expect([proofs.isProved(here, it.layer), proofs.isGranted(here, NONE)]).toEqual([true, false]);
    expect(proofs.grantOf(here)).toBeUndefined();
  });

  test('that failed proves nothing, and is tried again', async () => {
    await using it = await registryOf();
    const proofs = proofsOf();
    it.origin.once({ status: 403 });
    await failureOf(proofs.manifest(it.client, here, tag, []));
    expect([proofs.isGranted(here, NONE), proofs.isProved(here, it.digest)]).toEqual([false, false]);
    await proofs.manifest(it.client, here, tag, []);
    expect(proofs.isGranted(here, NONE)).toBe(true);
  });

  test('is not remembered with a TTL of 0', async () => {
    await using it = await registryOf();
    const proofs = proofsOf(0);
    await proofs.manifest(it.client, here, tag, []);
    await proofs.blob(it.client, here, it.layer);
    proofs.inherit(here, it.digest, [child]);
    expect([proofs.isProved(here, it.digest), proofs.isProved(here, it.layer), proofs.isProved(here, child)]).toEqual([
      false,
      false,
      false,
    ]);
    expect([proofs.isGranted(here, NONE), proofs.grantOf(here)]).toEqual([false, undefined]);
  });

  test('ends', async () => {
    await using it = await registryOf();
    const proofs = proofsOf();
    await proofs.manifest(it.client, here, tag, []);
    await proofs.blob(it.client, here, it.layer);
    vi.useFakeTimers({ toFake: ['Date'], now: Date.now() + 60_001 });
    expect([proofs.isProved(here, it.digest), proofs.isProved(here, it.layer), proofs.isGranted(here, NONE)]).toEqual([
      false,
      false,
      false,
    ]);
    expect(proofs.grantOf(here)).toBeUndefined();
  });

  test('is inherited by what the manifest names, in this repository', async () => {
    await using it = await registryOf();
    const proofs = proofsOf();
    await proofs.manifest(it.client, here, tag, []);
    proofs.inherit(here, it.digest, [child]);
    expect([proofs.isProved(here, child), proofs.isProved(there, child)]).toEqual([true, false]);
  });

  test('is not inherited from what was not proved', () => {
    const proofs = proofsOf();
    proofs.inherit(here, digestOf(Buffer.from('parent')), [child]);
    expect(proofs.isProved(here, child)).toBe(false);
  });

  test('does not get longer by being used: neither itself nor what inherits from it', async () => {
    await using it = await registryOf();
    const proofs = proofsOf();
    await proofs.manifest(it.client, here, tag, []);
    const now = Date.now();
    vi.useFakeTimers({ toFake: ['Date'] });
    for (const passedMs of [20_000, 40_000, 59_000]) {
      vi.setSystemTime(now + passedMs);
      proofs.inherit(here, it.digest, [child]);
    }
    vi.setSystemTime(now + 60_001);
    proofs.inherit(here, it.digest, [child]);
    expect([proofs.isProved(here, it.digest), proofs.isProved(here, child)]).toEqual([false, false]);
  });
});

describe('a grant', () => {
  test('is good at every replica, for its repository', async () => {
    await using it = await registryOf();
    const proofs = proofsOf();
    await proofs.manifest(it.client, here, tag, []);
    const grant = proofs.grantOf(here);
    const replica = proofsOf();
    expect(grant?.validForMs).toBeGreaterThan(59_000);
    expect(grant?.validForMs).toBeLessThanOrEqual(60_000);
    expect(replica.isGranted(here, grant?.token ?? NONE)).toBe(true);
    expect(replica.isGranted(there, grant?.token ?? NONE)).toBe(false);
    expect(replica.isGranted(placeOf(APP, parseRegistry('other.test')), grant?.token ?? NONE)).toBe(false);
  });

  test('of another key, of another purpose, or of nobody is none', async () => {
    const claims = { ...here, endsAtMs: Date.now() + 60_000 };
    const tokens = [new Seal(Buffer.alloc(32, 4), 'grant'), new Seal(key, 'read')].map((seal) => seal.close(claims));
    expect(
      [...tokens, NONE, Buffer.alloc(10), Buffer.alloc(100)].map((token) => proofsOf().isGranted(here, token)),
    ).toEqual(Array.from({ length: 5 }, () => false));
  });

  test('that is over is none', () => {
    const token = new Seal(key, 'grant').close({ ...here, endsAtMs: Date.now() - 1 });
    expect(proofsOf().isGranted(here, token)).toBe(false);
  });
});
