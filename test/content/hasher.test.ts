import { createHash, randomUUID } from 'node:crypto';
import { type FileHandle, open } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { Hasher } from '../../content/hasher.ts';
import type { Algorithm } from '../../oci/digest.ts';
import { openFiles } from '../support/open-files.ts';
import { tmpDir } from '../support/tmp-dir.ts';
import { MIB, sample, SOON } from './fixtures.ts';

describe('Hasher', () => {
  test.each(['sha256', 'sha512'] as const)('hashes a large file as it grows, by %s', async (algorithm) => {
    await using fixture = await begin();
    const { bytes } = sample(9 * MIB + 13);
    const job = fixture.hasher.start(fixture.file.fd, algorithm, bytes.length);
    for (const [start, end] of [
      [0, 1],
      [1, 3 * MIB],
      [3 * MIB, 3 * MIB],
      [3 * MIB, 9 * MIB + 12],
      [9 * MIB + 12, bytes.length],
    ] as const) {
      await fixture.file.write(bytes, start, end - start, start);
      job.advance(end);
    }
    expect(await job.result).toBe(createHash(algorithm).update(bytes).digest('hex'));
  });

  test('reads nothing before it is told that it is there', async () => {
    await using fixture = await begin();
    const { bytes } = sample(MIB);
    const job = fixture.hasher.start(fixture.file.fd, 'sha256', bytes.length);
    await fixture.file.write(bytes, 0, LARGE, 0);
    await fixture.file.truncate(bytes.length); // zeros that are not content
    job.advance(LARGE);
    await throughThread(fixture);
    await fixture.file.write(bytes, LARGE, bytes.length - LARGE, LARGE);
    job.advance(bytes.length);
    expect(await job.result).toBe(createHash('sha256').update(bytes).digest('hex'));
  });

  test('hashes many files at once, each in its own order', async () => {
    await using fixture = await begin(2);
    const { bytes } = sample(2 * MIB);
    await fixture.file.write(bytes);
    const sizes = Array.from({ length: 40 }, (_, at) => at * 50_001);
    const jobs = sizes.map((size) => fixture.hasher.start(fixture.file.fd, 'sha256', size));
    for (const [at, job] of jobs.entries()) job.advance(Math.floor((sizes[at] ?? 0) / 2));
    for (const [at, job] of jobs.entries()) job.advance(sizes[at] ?? 0);
    expect(await Promise.all(jobs.map(({ result }) => result))).toEqual(
      sizes.map((size) => createHash('sha256').update(bytes.subarray(0, size)).digest('hex')),
    );
  });

  test('knows the hash of nothing without reading', async () => {
    await using hasher = new Hasher(1);
    expect(await hasher.start(-1, 'sha256', 0).result).toBe(createHash('sha256').digest('hex'));
  });

  test.each([10, 2 * LARGE])('says that a result is unavailable when a job of %d bytes is cancelled', async (size) => {
    await using fixture = await begin();
    await fixture.file.truncate(size);
    const job = fixture.hasher.start(fixture.file.fd, 'sha256', size);
    job.advance(size / 2);
    await throughThread(fixture);
    await job.cancel();
    await expect(job.result).rejects.toMatchObject({ code: 'UNAVAILABLE' });
    await job.cancel();
    job.advance(size);
    await throughThread(fixture);
  });

  test('does not use a small file any more after a cancel', async () => {
    await using fixture = await begin();
    await fixture.file.write('abc');
    const job = fixture.hasher.start(fixture.file.fd, 'sha256', 3);
    job.advance(3);
    await job.cancel(); // has waited for the read that was on its way
    expect(await job.result).toBe(createHash('sha256').update('abc').digest('hex'));
  });

  test('hashes a file whose size is told at its end', async () => {
    await using fixture = await begin();
    const { bytes } = sample(MIB);
    await fixture.file.write(bytes);
    for (const [advances, size] of [
      [[], 0],
      [[], 1000],
      [[10, 999], 1000],
      [[], MIB],
      [[10, LARGE, 2 * LARGE], MIB],
    ] as const) {
      const job = fixture.hasher.start(fixture.file.fd, 'sha256', Infinity);
      for (const upTo of advances) job.advance(upTo);
      job.finish(size);
      expect(await job.result).toBe(createHash('sha256').update(bytes.subarray(0, size)).digest('hex'));
    }
  });

  test('does not use the file any more after a cancel in the middle of it', async () => {
    await using fixture = await begin();
    const { bytes } = sample(16 * MIB);
    await fixture.file.write(bytes);
    const other = await open(join(fixture.directory, 'other'), 'wx+');
    await other.write(sample(MIB, 1).bytes);
    const job = fixture.hasher.start(fixture.file.fd, 'sha256', bytes.length);
    job.advance(bytes.length);
    await job.cancel();
    await fixture.file.close();
    const again = fixture.hasher.start(other.fd, 'sha256', MIB);
    again.advance(MIB);
    expect(await again.result).toBe(createHash('sha256').update(sample(MIB, 1).bytes).digest('hex'));
    await other.close();
    await expect(job.result).rejects.toMatchObject({ code: 'UNAVAILABLE' });
  });

  test('leaves a finished result as it is when it is cancelled afterwards', async () => {
    await using fixture = await begin();
    await fixture.file.write('abc');
    const job = fixture.hasher.start(fixture.file.fd, 'sha256', 3);
    job.advance(3);
    const hex = await job.result;
    await job.cancel();
    expect(await job.result).toBe(hex);
  });

  test.each([
    ['that is not open', -1, 10],
    ['that never was', 999_999, 10],
    ['that is not open, in a thread', -1, LARGE],
    ['that never was, in a thread', 999_999, LARGE],
  ])('says that a result is unavailable for a file descriptor %s', async (_, fd, size) => {
    await using hasher = new Hasher(1);
    const job = hasher.start(fd, 'sha256', size);
    job.advance(size);
    await expect(job.result).rejects.toMatchObject({ code: 'UNAVAILABLE' });
    await job.cancel();
  });

  test.each([10, LARGE])('says that a result is unavailable when the file is shorter than %d bytes', async (size) => {
    await using fixture = await begin();
    await fixture.file.write('abc');
    const job = fixture.hasher.start(fixture.file.fd, 'sha256', size);
    job.advance(size);
    await expect(job.result).rejects.toMatchObject({ code: 'UNAVAILABLE' });
  });

  test('works on after its thread has crashed', async () => {
    await using fixture = await begin();
    const { bytes } = sample(LARGE);
    await fixture.file.write(bytes);
    const victim = fixture.hasher.start(fixture.file.fd, 'sha256', 2 * LARGE);
    victim.advance(LARGE);
    const crash = fixture.hasher.start(fixture.file.fd, 'no such algorithm' as Algorithm, LARGE);
    crash.advance(LARGE);
    await expect(crash.result).rejects.toMatchObject({ code: 'UNAVAILABLE' });
    await expect(victim.result).rejects.toMatchObject({ code: 'UNAVAILABLE' });
    await crash.cancel();
    const job = fixture.hasher.start(fixture.file.fd, 'sha256', LARGE);
    job.advance(LARGE);
    expect(await job.result).toBe(createHash('sha256').update(bytes).digest('hex'));
  });

  test.each([10, 2 * LARGE])('ends its jobs, such as one of %d bytes, when it is disposed', async (size) => {
    await using fixture = await begin();
    await fixture.file.truncate(size);
    const job = fixture.hasher.start(fixture.file.fd, 'sha256', size);
    job.advance(size / 2);
    await throughThread(fixture);
    await fixture.hasher[Symbol.asyncDispose]();
    await expect(job.result).rejects.toMatchObject({ code: 'UNAVAILABLE' });
    await job.cancel();
  });

  test('may be disposed without having worked', async () => {
    const hasher = new Hasher();
    await expect(hasher[Symbol.asyncDispose]()).resolves.toBeUndefined();
  });

  test('leaves no file descriptors behind', async () => {
    const before = await descriptors();
    for (const threads of [2, 1, 3]) {
      await using fixture = await begin(threads);
      await Promise.all([1, 2, 3].map(() => throughThread(fixture)));
    }
    await expect.poll(descriptors, SOON).toBeLessThanOrEqual(before);
  });
});

/** More than is hashed without a thread. */
const LARGE = 64 * 1024 + 1;

/** A job that a thread has done, after what it was told before. */
async function throughThread({ hasher, directory }: HasherFixture): Promise<void> {
  await using file = await open(join(directory, randomUUID()), 'wx+');
  await file.truncate(LARGE);
  const job = hasher.start(file.fd, 'sha256', LARGE);
  job.advance(LARGE);
  expect(await job.result).toBe(createHash('sha256').update(Buffer.alloc(LARGE)).digest('hex'));
}

interface HasherFixture extends AsyncDisposable {
  readonly hasher: Hasher;
  readonly file: FileHandle;
  readonly directory: string;
}

async function begin(threads = 1): Promise<HasherFixture> {
  const directory = await tmpDir();
  const file = await open(join(directory.path, 'file'), 'wx+');
  const hasher = new Hasher(threads);
  return {
    hasher,
    file,
    directory: directory.path,
    [Symbol.asyncDispose]: async () => {
      await hasher[Symbol.asyncDispose]();
      await file.close();
      await directory[Symbol.asyncDispose]();
    },
  };
}

/** How many descriptors there are but for sockets, which others in this process may have. */
async function descriptors(): Promise<number> {
  return (await openFiles()).filter((path) => !path.startsWith('socket:')).length;
}
