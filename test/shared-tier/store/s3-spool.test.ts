import { describe, expect, test, vi } from 'vitest';
import type { Spools } from '../../../content/spool.ts';
import { MIB, SOON, read, sample } from '../../content/fixtures.ts';
import { REGISTRY, placeOf } from '../fixtures.ts';
import { s3Store } from './fixtures.ts';

const here = placeOf('org/app');
const { bytes: BYTES, digest: D } = sample(MIB);
const BLOBS = /\/v1\/blobs\//;

async function push(store: Spools): Promise<void> {
  await using spool = await store.spool();
  await spool.append([BYTES]);
  await spool.commit(D);
}

describe('a spool of a bucket', () => {
  test('is there for every replica when it is committed', async () => {
    await using it = await s3Store();
    const other = await it.another();
    await push(it.store);
    await it.records.fetched(here, D, 'a/b');
    expect([await other.store.stat(D), await other.records.hasFrom(REGISTRY, D)]).toEqual([{ sizeBytes: MIB }, true]);
    await using content = await other.store.open(D);
    expect((await read(content)).equals(BYTES)).toBe(true);
    expect(it.failures).toEqual([]);
  });

  test('does not go up again when the bucket has it, from whichever replica', async () => {
    await using it = await s3Store();
    await push(it.store);
    const before = it.server.count({ method: 'PUT', key: BLOBS });
    await push(it.store);
    await push((await it.another()).store);
    expect(it.server.count({ method: 'PUT', key: BLOBS })).toBe(before);
  });

  test('that the bucket does not take is there here, and for the others later', async () => {
    await using it = await s3Store();
    const other = await it.another();
    it.server.moods.push({ method: 'PUT', error: [403, 'AccessDenied'] });
    await push(it.store);
    await it.records.fetched(here, D, 'a/b');
    await using content = await it.store.open(D);
    expect((await read(content)).equals(BYTES)).toBe(true);
    expect([await other.store.stat(D), it.failures.length > 0]).toEqual([undefined, true]);
    it.server.moods.length = 0;
    await it.store.saveUnsaved();
    expect([await other.store.stat(D), await other.records.heldAs(here, D)]).toEqual([{ sizeBytes: MIB }, 'a/b']);
  });

  test('does not wait for a bucket that says nothing, and leaves nothing in it when the process ends', async () => {
    await using it = await s3Store();
    const other = await it.another({ spoolPatienceMs: 20, partBytes: MIB / 4 });
    it.server.moods.push({ method: 'PUT', key: BLOBS, silent: true });
    await push(other.store);
    expect(await other.store.stat(D)).toEqual({ sizeBytes: MIB });
    await vi.waitFor(() => expect(it.server.bucket.uploads.size).toBe(1), SOON);
    await other[Symbol.asyncDispose]();
    expect([it.server.bucket.uploads.size, await it.store.stat(D)]).toEqual([0, undefined]);
  });
});
