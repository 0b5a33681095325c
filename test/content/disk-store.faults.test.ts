import { appendFile, mkdir, readdir, rename, rm, stat, truncate, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import type { DiskStore } from '../../content/disk-store.ts';
import { openFilesIn } from '../support/open-files.ts';
import { type DiskFixture, MIB, diskStore, filesIn, read, sample, startReading, SOON } from './fixtures.ts';

const { bytes: BYTES, digest: DIGEST } = sample(100_000);

describe('content whose file was', () => {
  test.each([
    ['truncated', (path: string) => truncate(path, 99_999)],
    ['emptied', (path: string) => truncate(path, 0)],
    ['enlarged', (path: string) => appendFile(path, 'x')],
    ['removed', (path: string) => rm(path)],
    ['removed with its directory', (path: string) => rm(join(path, '..'), { recursive: true })],
  ])('%s is a miss, and gone', async (_, damage) => {
    await using fixture = await stored();
    const { store, evicted } = fixture;
    await damage(store.layout.blob(DIGEST));
    expect(await Promise.all([store.open(DIGEST), store.open(DIGEST)])).toEqual([undefined, undefined]);
    expect([await store.stat(DIGEST), evicted, store.usage.bytes]).toEqual([undefined, [[DIGEST, 'damaged']], 0]);
    await expect.poll(() => filesIn(fixture.directory), SOON).toEqual([]);
    await store.put(DIGEST, BYTES);
    await using content = await store.open(DIGEST);
    expect((await read(content)).equals(BYTES)).toBe(true);
  });

  test('truncated while it is read is corrupt', async () => {
    await using fixture = await stored();
    await using content = await fixture.store.open(DIGEST);
    await truncate(fixture.store.layout.blob(DIGEST), 50_000);
    await expect(read(content)).rejects.toMatchObject({ code: 'CORRUPT' });
  });

  test('truncated between two chunks is corrupt, after the bytes that were there', async () => {
    await using fixture = await diskStore();
    const { bytes, digest } = sample(2 * MIB);
    await fixture.store.put(digest, bytes);
    await using content = await fixture.store.open(digest);
    let received = 0;
    const drain = async (): Promise<void> => {
      const range = { start: 0, end: bytes.length };
      for await (const chunk of content?.chunks(range, { signal: new AbortController().signal }) ?? []) {
        received += chunk.bytes.length;
        chunk.release();
        await truncate(fixture.store.layout.blob(digest), received);
      }
    };
    await expect(drain()).rejects.toMatchObject({ code: 'CORRUPT' });
    expect(received).toBeLessThanOrEqual(512 * 1024); // what was read ahead, and no byte more
  });
});

describe('a disk store that cannot use its directory', () => {
  test.each([
    ['is a file', (directory: string) => writeFile(directory, 'x')],
    ['has a file where content belongs', (directory: string) => fileAt(directory, 'v1', 'blobs')],
    ['has a file where its format belongs', (directory: string) => fileAt(directory, 'v1')],
  ])('does not open when that %s', async (_, prepare) => {
    await using fixture = await diskStore();
    const directory = join(fixture.directory, 'cache');
    await prepare(directory);
    await expect(fixture.reopen({ directory })).rejects.toMatchObject({ code: 'UNAVAILABLE' });
  });

  // No user may make directories there, not even root.
  test('does not open when that cannot be made', async () => {
    await using fixture = await diskStore();
    await expect(fixture.reopen({ directory: '/sys/circ' })).rejects.toMatchObject({
      code: 'UNAVAILABLE',
      message: expect.stringContaining('/sys/circ') as string,
    });
  });

  test.each([
    ['is missing', (directory: string) => rm(directory, { recursive: true })],
    ['is a file', async (directory: string) => replaceByFile(directory)],
  ])('takes nothing in when the place for arrivals %s, and keeps no room for it', async (_, damage) => {
    await using fixture = await stored();
    const { store } = fixture;
    await damage(store.layout.ingests);
    const { bytes, digest } = sample(1_000, 1);
    await expect(store.put(digest, bytes)).rejects.toMatchObject({ code: 'UNAVAILABLE' });
    expect(store.usage.bytes).toBe(BYTES.length);
    await using content = await store.open(DIGEST);
    expect((await read(content)).equals(BYTES)).toBe(true);
  });

  test('takes in again when the directory is back', async () => {
    await using fixture = await stored();
    const { store } = fixture;
    const { bytes, digest } = sample(1_000, 1);
    await rename(store.layout.ingests, `${store.layout.ingests}.away`);
    await expect(store.put(digest, bytes)).rejects.toMatchObject({ code: 'UNAVAILABLE' });
    await rename(`${store.layout.ingests}.away`, store.layout.ingests);
    await store.put(digest, bytes);
    expect(await store.stat(digest)).toEqual({ sizeBytes: 1_000 });
  });

  test('serves all bytes of an arrival that it cannot keep', async () => {
    await using fixture = await diskStore();
    const { store } = fixture;
    const ingest = await store.ingest(DIGEST, BYTES.length);
    const follower = ingest.follow();
    const reading = startReading(follower);
    await ingest.write(0, [BYTES]);
    await replaceByFile(store.layout.blobs);
    await expect(ingest.commit()).rejects.toMatchObject({ code: 'UNAVAILABLE' });
    expect((await reading.result).equals(BYTES)).toBe(true);
    expect(await store.stat(DIGEST)).toBeUndefined();
    await follower[Symbol.asyncDispose]();
    await ingest[Symbol.asyncDispose]();
    expect(store.usage.bytes).toBe(0);
    await expect.poll(() => readdir(store.layout.ingests), SOON).toEqual([]);
  });

  test('says that it is unavailable when content cannot be opened, and does not call it damaged', async () => {
    await using fixture = await stored();
    const { store, evicted } = fixture;
    await rename(store.layout.blobs, `${store.layout.blobs}.away`);
    await writeFile(store.layout.blobs, '');
    await expect(store.open(DIGEST)).rejects.toMatchObject({ code: 'UNAVAILABLE' });
    expect(evicted).toEqual([]);
    await rm(store.layout.blobs);
    await rename(`${store.layout.blobs}.away`, store.layout.blobs);
    await using content = await store.open(DIGEST);
    expect((await read(content)).equals(BYTES)).toBe(true);
  });
});

describe('an ingest that is aborted while it commits', () => {
  test('is either there or not, and its room is counted as that', async () => {
    await using fixture = await diskStore();
    const { store } = fixture;
    const outcomes = new Set<boolean>();
    for (let turn = 0; turn < 40; turn += 1) {
      const { bytes, digest } = sample(32, turn);
      const before = store.usage.bytes;
      const ingest = await store.ingest(digest, 32);
      const follower = ingest.follow();
      const reading = startReading(follower);
      await ingest.write(0, [bytes]);
      const committed = ingest.commit().then(
        () => true,
        () => false,
      );
      for (let turns = 0; turns < turn % 20; turns += 1) await stat(fixture.directory);
      await ingest[Symbol.asyncDispose]();
      const [{ status }] = await Promise.allSettled([reading.result]);
      await follower[Symbol.asyncDispose]();
      const isThere = (await store.stat(digest)) !== undefined;
      expect([await committed, store.usage.bytes - before]).toEqual([isThere, isThere ? 32 : 0]);
      expect([status, isThere]).not.toEqual(['rejected', true]);
      outcomes.add(isThere);
    }
    await expect.poll(() => readdir(store.layout.ingests), SOON).toEqual([]);
    expect(outcomes).toContain(false);
  });
});

describe('a disk store', () => {
  test('leaves no file descriptor open, whatever ended the work', async () => {
    await using fixture = await diskStore();
    const { store } = fixture;
    await store.put(sample(1).digest, sample(1).bytes);
    const before = await openFilesIn(fixture.directory);
    for (let turn = 0; turn < 20; turn += 1) await work(store, turn);
    await expect.poll(() => openFilesIn(fixture.directory), SOON).toEqual(before);
    expect(store.usage.bytes).toBe(
      (await Array.fromAsync(store.list())).reduce((sum, { sizeBytes }) => sum + sizeBytes, 0),
    );
    await expect.poll(() => readdir(store.layout.ingests), SOON).toEqual([]);
  });
});

/** Every way that content may go. */
async function work(store: DiskStore, turn: number): Promise<void> {
  const { bytes, digest } = sample(50_000, turn + 1);
  const range = { start: 0, end: bytes.length };
  await using right = await store.ingest(digest, bytes.length);
  await using wrong = await store.ingest(sample(1, turn).digest, bytes.length);
  await using aborted = await store.ingest(digest, bytes.length);
  await using followers = new AsyncDisposableStack();
  const client = new AbortController();
  const readings = [right, wrong, aborted].map((ingest) => startReading(followers.use(ingest.follow())).result);
  const gone = startReading(followers.use(right.follow()), { signal: client.signal }).result;
  client.abort();
  await Promise.all([right, wrong].map((ingest) => ingest.write(0, [bytes])));
  aborted.abort(new Error('turned away'));
  await Promise.allSettled([right.commit(), wrong.commit(), aborted.commit(), gone, ...readings]);
  await using content = await store.open(digest);
  for await (const chunk of content?.chunks(range, { signal: new AbortController().signal }) ?? []) {
    chunk.release();
    break;
  }
  if (turn % 2 === 0) await truncate(store.layout.blob(digest), 1);
  await (await store.open(digest))?.[Symbol.asyncDispose]();
  if (turn % 3 === 0) await store.delete(digest);
}

async function stored(): Promise<DiskFixture> {
  const fixture = await diskStore();
  await fixture.store.put(DIGEST, BYTES);
  return fixture;
}

async function fileAt(directory: string, ...path: string[]): Promise<void> {
  await mkdir(join(directory, ...path, '..'), { recursive: true });
  await writeFile(join(directory, ...path), 'x');
}

async function replaceByFile(path: string): Promise<void> {
  await rm(path, { recursive: true });
  await writeFile(path, 'x');
}
