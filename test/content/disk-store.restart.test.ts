import { mkdir, stat, symlink, utimes, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { describe, expect, test } from 'vitest';
import type { DiskStore } from '../../content/disk-store.ts';
import { digestOf, hexOf } from '../../oci/digest.ts';
import { type DiskFixture, diskStore, filesIn, read, sample, SOON } from './fixtures.ts';

const samples = Array.from({ length: 4 }, (_, seed) => sample(1_000, seed));
const [A, B, C, D] = samples as [Sample, Sample, Sample, Sample];
type Sample = ReturnType<typeof sample>;

describe('a disk store opened again', () => {
  test('has what was committed before', async () => {
    await using fixture = await diskStore();
    const long = sample(700, 0, 'sha512');
    for (const { bytes, digest } of [A, B, long]) await fixture.store.put(digest, bytes);
    const store = await fixture.reopen();
    expect(store.usage).toMatchObject({ blobs: 3, bytes: 2_700 });
    for (const { bytes, digest } of [A, B, long]) {
      await using content = await store.open(digest);
      expect((await read(content)).equals(bytes)).toBe(true);
    }
  });

  test('has forgotten what was on its way in, and removes it', async () => {
    await using fixture = await diskStore();
    await using ingest = await fixture.store.ingest(A.digest, 1_000);
    await ingest.write(0, [A.bytes]);
    expect(await filesIn(fixture.directory)).toHaveLength(1);
    const store = await fixture.reopen();
    expect(await filesIn(fixture.directory)).toEqual([]);
    expect([await store.stat(A.digest), store.usage.bytes]).toEqual([undefined, 0]);
  });

  test('evicts in the order of use before', async () => {
    await using fixture = await placed();
    await age(fixture.store, { A: 30, B: 10, C: 20 });
    const store = await fixture.reopen({ capacityBytes: 3_000 });
    await store.put(D.digest, D.bytes);
    await store.put(sample(1_000, 9).digest, sample(1_000, 9).bytes);
    expect(fixture.evicted.map(([digest]) => digest)).toEqual([B.digest, C.digest]);
  });

  test('knows of a use that the disk was told', async () => {
    await using fixture = await placed();
    await age(fixture.store, { A: 10, B: 20, C: 30 });
    const store = await fixture.reopen();
    const before = Date.now();
    await (await store.open(A.digest))?.[Symbol.asyncDispose]();
    await expect
      .poll(async () => (await stat(store.layout.blob(A.digest))).mtimeMs, SOON)
      .toBeGreaterThanOrEqual(before - 1_000);
    await fixture.reopen({ capacityBytes: 1_000 });
    expect(fixture.evicted.map(([digest]) => digest)).toEqual([B.digest, C.digest]);
  });

  test('evicts at once what a smaller capacity has no room for', async () => {
    await using fixture = await placed();
    await age(fixture.store, { A: 30, B: 10, C: 20 });
    const store = await fixture.reopen({ capacityBytes: 1_999 });
    expect(fixture.evicted).toEqual([
      [B.digest, 'size'],
      [C.digest, 'size'],
    ]);
    expect(store.usage).toEqual({ blobs: 1, bytes: 1_000, capacityBytes: 1_999 });
    await expect.poll(() => filesIn(fixture.directory), SOON).toHaveLength(1);
  });

  const hex = hexOf(A.digest);
  test.each([
    ['a file beside the algorithms', 'README'],
    ['a file beside the prefixes', `sha256/${hex}`],
    ['a name that is no digest', 'sha256/ab/abc'],
    ['a name in capitals', `sha256/${hex.slice(0, 2)}/${hex.toUpperCase()}`],
    ['a name that is longer', `sha256/${hex.slice(0, 2)}/${hex}.tmp`],
    ['the prefix of another digest', `sha256/zz/${hex}`],
    ['a shorter prefix', `sha256/${hex.slice(0, 1)}/${hex}`],
    ['a longer prefix', `sha256/${hex.slice(0, 3)}/${hex}`],
    ['a directory too much', `sha256/${hex.slice(0, 2)}/${hex.slice(2, 4)}/${hex}`],
    ['another algorithm', `sha512/${hex.slice(0, 2)}/${hex}`],
    ['an algorithm that is not known', `md5/${hex.slice(0, 2)}/${hex}`],
  ])('removes %s among its content', async (_, path) => {
    await using fixture = await diskStore();
    const { blobs } = fixture.store.layout;
    await mkdir(dirname(join(blobs, path)), { recursive: true });
    await writeFile(join(blobs, path), A.bytes);
    const store = await fixture.reopen();
    expect(await filesIn(fixture.directory)).toEqual([]);
    expect([await Array.fromAsync(store.list()), store.usage.bytes]).toEqual([[], 0]);
  });

  test.each([
    ['to nothing', 'does-not-exist'],
    ['to itself', hex],
    ['to a file elsewhere', '../../../../elsewhere/file'],
    ['to a directory', '../../../../elsewhere'],
  ])('removes a link %s where content belongs, and not what it points at', async (_, target) => {
    await using fixture = await diskStore();
    await fixture.store.put(B.digest, B.bytes);
    const path = fixture.store.layout.blob(A.digest);
    await mkdir(join(fixture.directory, 'elsewhere'));
    await writeFile(join(fixture.directory, 'elsewhere', 'file'), A.bytes);
    await mkdir(dirname(path), { recursive: true });
    await symlink(target, path);
    const store = await fixture.reopen();
    expect(await Array.fromAsync(store.list())).toEqual([{ digest: B.digest, sizeBytes: 1_000 }]);
    expect(await filesIn(fixture.directory)).toEqual([
      'elsewhere/file',
      store.layout.blob(B.digest).slice(fixture.directory.length + 1),
    ]);
  });

  test('leaves alone what lies beside its content', async () => {
    await using fixture = await diskStore();
    const { records } = fixture.store.layout;
    await mkdir(records);
    await writeFile(join(records, 'x'), 'record');
    await writeFile(join(fixture.directory, 'lost+found'), 'x');
    await fixture.reopen();
    expect(await filesIn(fixture.directory)).toEqual(['lost+found', 'v1/records/x']);
  });

  test('makes a directory that is not there', async () => {
    await using fixture = await diskStore();
    const store = await fixture.reopen({ directory: join(fixture.directory, 'a', 'b', 'c') });
    await store.put(A.digest, A.bytes);
    expect(await store.stat(A.digest)).toEqual({ sizeBytes: 1_000 });
  });

  test('finds thousands of contents', async () => {
    await using fixture = await diskStore();
    const { layout } = fixture.store;
    const many = Array.from({ length: 2_000 }, (_, seed) => digestOf(Buffer.from(`content ${seed}`)));
    const digests = many;
    for (const digest of digests) {
      await mkdir(dirname(layout.blob(digest)), { recursive: true });
      await writeFile(layout.blob(digest), 'x');
    }
    expect((await fixture.reopen()).usage).toMatchObject({ blobs: digests.length, bytes: digests.length });
  });
});

async function placed(): Promise<DiskFixture> {
  const fixture = await diskStore();
  for (const { bytes, digest } of [A, B, C]) await fixture.store.put(digest, bytes);
  return fixture;
}

/** Sets the seconds since 1970 of the last use. */
async function age(store: DiskStore, at: Record<'A' | 'B' | 'C', number>): Promise<void> {
  await utimes(store.layout.blob(A.digest), at.A, at.A);
  await utimes(store.layout.blob(B.digest), at.B, at.B);
  await utimes(store.layout.blob(C.digest), at.C, at.C);
}
