import { afterEach, describe, expect, test, vi } from 'vitest';
import { digestOf } from '../../../oci/digest.ts';
import { parseRegistry } from '../../../oci/reference.ts';
import { Grants, type Holder } from '../../../shared-tier/access/grants.ts';
import { Seal } from '../../../shared-tier/seal.ts';
import { APP, placeOf } from '../fixtures.ts';

const key = Buffer.alloc(32, 3);
const NONE = new Uint8Array();
const root = digestOf(Buffer.from('root'));
const child = digestOf(Buffer.from('child'));
const here = holder();

function holder(caller = 'alice', repository: string = APP, registry = 'registry.test'): Holder {
  return { caller, place: placeOf(repository, parseRegistry(registry)) };
}

function grantsOf(): Grants {
  return new Grants(new Seal(key, 'grant'));
}

function inMs(ms: number): number {
  return Date.now() + ms;
}

afterEach(() => {
  vi.useRealTimers();
});

describe('a grant', () => {
  test('is for its caller, its repository and its registry, and nobody and nothing else', () => {
    const grants = grantsOf();
    grants.manifest(here, root, inMs(60_000));
    const token = grants.sealed(here, NONE)?.token ?? NONE;
    const others = [
      holder('bob'),
      holder('anonymous'),
      holder('alice', 'org/other'),
      holder('alice', APP, 'other.test'),
    ];
    expect([grants.repositoryEnd(here, NONE) > 0, grantsOf().repositoryEnd(here, token) > 0]).toEqual([true, true]);
    for (const other of others) {
      expect([grants.repositoryEnd(other, token), grants.manifestEnd(other, token, root)]).toEqual([0, 0]);
      expect([grants.sealed(other, token), grants.rootOf(other, token)]).toEqual([undefined, undefined]);
    }
  });

  test('is good at every replica until the same moment, for what it was given for', () => {
    const grants = grantsOf();
    const end = inMs(60_000);
    grants.manifest(here, root, end);
    const { token, validForMs } = grants.sealed(here, NONE) ?? { token: NONE, validForMs: 0 };
    expect(validForMs).toBeGreaterThan(59_000);
    const replica = grantsOf();
    expect([replica.repositoryEnd(here, token), replica.manifestEnd(here, token, root)]).toEqual([end, end]);
    expect([replica.manifestEnd(here, token, child), replica.rootOf(here, token)]).toEqual([0, root]);
    expect(replica.sealed(here, token)).toEqual({ token, validForMs: expect.closeTo(60_000, -3) });
  });

  test('of another key, of another purpose, or of nobody is none', () => {
    const claims = { ...here.place, caller: here.caller, digest: root, endsAtMs: inMs(60_000) };
    const sealed = [new Seal(Buffer.alloc(32, 4), 'grant'), new Seal(key, 'read')].map((seal) => seal.close(claims));
    for (const token of [...sealed, NONE, Buffer.alloc(10), Buffer.alloc(100)]) {
      expect([grantsOf().repositoryEnd(here, token), grantsOf().manifestEnd(here, token, root)]).toEqual([0, 0]);
    }
  });

  test('that is over is none, in memory and sealed', () => {
    const grants = grantsOf();
    grants.manifest(here, root, inMs(60_000));
    const token = grants.sealed(here, NONE)?.token ?? NONE;
    vi.useFakeTimers({ toFake: ['Date'], now: inMs(60_001) });
    expect([grants.repositoryEnd(here, token), grants.manifestEnd(here, token, root)]).toEqual([0, 0]);
    expect(grants.sealed(here, token)).toBeUndefined();
  });

  test('of a single blob allows nothing else of the repository', () => {
    const grants = grantsOf();
    grants.blob(here, child, inMs(60_000));
    expect(grants.blobEnd(here, child)).toBeGreaterThan(0);
    expect([grants.repositoryEnd(here, NONE), grants.sealed(here, NONE)]).toEqual([0, undefined]);
    expect([grants.blobEnd(holder('bob'), child), grants.manifestEnd(here, NONE, child)]).toEqual([0, 0]);
  });

  test('that has ended when it is given is none', () => {
    const grants = grantsOf();
    grants.manifest(here, root, inMs(0));
    grants.blob(here, child, inMs(-1));
    expect([grants.repositoryEnd(here, NONE), grants.blobEnd(here, child)]).toEqual([0, 0]);
  });

  test('is not made shorter by a later one that ends sooner', () => {
    const grants = grantsOf();
    const end = inMs(60_000);
    grants.manifest(here, root, end);
    grants.manifest(here, child, inMs(1_000));
    expect(grants.repositoryEnd(here, NONE)).toBe(end);
    const token = grants.sealed(here, NONE)?.token ?? NONE;
    expect(grantsOf().manifestEnd(here, token, child)).toBe(0);
  });
});

describe('what a proved manifest names', () => {
  test('is proved as well, for the same caller in the same repository', () => {
    const grants = grantsOf();
    grants.manifest(here, root, inMs(60_000));
    grants.inherit(here, NONE, root, [child]);
    expect(grants.manifestEnd(here, NONE, child)).toBe(grants.manifestEnd(here, NONE, root));
    expect([
      grants.manifestEnd(holder('bob'), NONE, child),
      grants.manifestEnd(holder('alice', 'org/other'), NONE, child),
    ]).toEqual([0, 0]);
  });

  test('is not proved as a blob, whatever it is', () => {
    const grants = grantsOf();
    grants.manifest(here, root, inMs(60_000));
    grants.inherit(here, NONE, root, [child]);
    const token = grants.sealed(here, NONE)?.token ?? NONE;
    expect([grants.blobEnd(here, child), grants.blobEnd(here, root), token.length > 0]).toEqual([0, 0, true]);
  });

  test('is not proved when the manifest is not', () => {
    const grants = grantsOf();
    grants.inherit(here, NONE, root, [child]);
    expect([grants.manifestEnd(here, NONE, root), grants.manifestEnd(here, NONE, child)]).toEqual([0, 0]);
  });

  test('does not stay proved for longer by being used', () => {
    const grants = grantsOf();
    const now = Date.now();
    grants.manifest(here, root, now + 60_000);
    vi.useFakeTimers({ toFake: ['Date'] });
    for (const passedMs of [20_000, 40_000, 59_000]) {
      vi.setSystemTime(now + passedMs);
      grants.inherit(here, NONE, root, [child]);
    }
    vi.setSystemTime(now + 60_001);
    grants.inherit(here, NONE, root, [child]);
    expect([grants.manifestEnd(here, NONE, root), grants.manifestEnd(here, NONE, child)]).toEqual([0, 0]);
  });
});
