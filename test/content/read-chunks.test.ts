import { type FileHandle, open } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { BufferPool } from '../../content/buffer-pool.ts';
import type { Chunk } from '../../content/chunk.ts';
import { readChunks } from '../../content/read-chunks.ts';
import { tmpDir } from '../support/tmp-dir.ts';
import { MIB, sample } from './fixtures.ts';

const OWN_BYTES = 16 * 1024;
const forever = new AbortController().signal;

describe('readChunks', () => {
  // 64 readers that take turns: they are as fast as the slowest, so all have a chunk at the same time.
  test('keeps 64 readers of 256 MiB within the bound of the pool and a small buffer for each', async () => {
    await using fixture = await fileOf(256 * MIB);
    const pool = new BufferPool({ totalBytes: 8 * MIB });
    const readers = Array.from({ length: 64 }, () =>
      readChunks(fixture.file, { start: 0, end: 256 * MIB }, { pool, signal: forever }),
    );
    const memory = new Map<ArrayBufferLike, number>();
    for (let round = 0; round < 40; round += 1) {
      const chunks = await Promise.all(readers.map((reader) => reader.next()));
      for (const { value } of chunks) {
        if (value) memory.set(value.bytes.buffer, value.bytes.buffer.byteLength);
      }
      for (const { value } of chunks) value?.release();
    }
    await Promise.all(readers.map((reader) => reader.return()));
    const bytes = [...memory.values()].reduce((sum, length) => sum + length, 0);
    expect(bytes).toBeGreaterThanOrEqual(8 * MIB);
    expect(bytes).toBeLessThanOrEqual(8 * MIB + 64 * OWN_BYTES);
  });

  test('reads a whole 256 MiB file through two buffers', async () => {
    await using fixture = await fileOf(256 * MIB);
    const pool = new BufferPool({ totalBytes: 1 });
    const memory = new Set<ArrayBufferLike>();
    let position = 0;
    const range = { start: 0, end: 256 * MIB };
    for await (const chunk of readChunks(fixture.file, range, { pool, signal: forever })) {
      memory.add(chunk.bytes.buffer);
      position += chunk.bytes.length;
      chunk.release();
    }
    expect([position, memory.size]).toEqual([256 * MIB, 2]);
  });

  test('goes on while others keep all buffers of the pool and take no more bytes', async () => {
    await using fixture = await fileOf(2 * MIB);
    const pool = new BufferPool({ totalBytes: MIB });
    const range = { start: 0, end: 2 * MIB };
    const options = { pool, signal: forever };
    const stalled = Array.from({ length: 10 }, () => readChunks(fixture.file, range, options));
    const kept = await Promise.all(stalled.map((reader) => reader.next()));
    const pieces: Buffer[] = [];
    for await (const chunk of readChunks(fixture.file, range, options)) pieces.push(copied(chunk));
    expect(Buffer.concat(pieces).equals(Buffer.alloc(2 * MIB))).toBe(true);
    for (const { value } of kept) value?.release();
  });

  test('holds no buffer while its file has to grow', async () => {
    await using fixture = await fileOf(10);
    const pool = new BufferPool({ totalBytes: 1 });
    const { promise: grown, resolve: grow } = Promise.withResolvers<number>();
    const reader = readChunks(fixture.file, { start: 0, end: 10 }, { pool, signal: forever, availableTo: () => grown });
    const first = reader.next();
    const lent = [pool.tryAcquire(), pool.tryAcquire()];
    expect(lent.every((buffer) => buffer !== undefined)).toBe(true);
    for (const buffer of lent) buffer?.release();
    grow(10);
    expect((await first).value?.bytes.length).toBe(10);
    await reader.return();
  });

  test('gives its buffer back when the read fails', async () => {
    const pool = new BufferPool({ bufferBytes: 100, totalBytes: 200 });
    const fixture = await fileOf(10);
    const options = { pool, signal: forever };
    await expect(readChunks(fixture.file, { start: 0, end: 20 }, options).next()).resolves.toMatchObject({
      done: false,
    });
    await expect(readChunks(fixture.file, { start: 10, end: 20 }, options).next()).rejects.toMatchObject({
      code: 'CORRUPT',
    });
    await fixture[Symbol.asyncDispose]();
    await expect(readChunks(fixture.file, { start: 0, end: 10 }, options).next()).rejects.toMatchObject({
      code: 'UNAVAILABLE',
    });
    expect([pool.tryAcquire(), pool.tryAcquire()].map((buffer) => buffer !== undefined)).toEqual([true, false]);
  });

  test('reads the bytes of its range and no others', async () => {
    await using fixture = await fileOf(0);
    const { bytes } = sample(MIB);
    await fixture.file.write(bytes);
    const pool = new BufferPool({ bufferBytes: 1_000, totalBytes: 2_000 });
    const pieces: Buffer[] = [];
    const range = { start: 1_234, end: 56_789 };
    for await (const chunk of readChunks(fixture.file, range, { pool, signal: forever })) pieces.push(copied(chunk));
    expect(Buffer.concat(pieces).equals(bytes.subarray(1_234, 56_789))).toBe(true);
  });
});

interface FileFixture extends AsyncDisposable {
  readonly file: FileHandle;
}

/** A file of zeros that takes no room. */
async function fileOf(sizeBytes: number): Promise<FileFixture> {
  const directory = await tmpDir();
  const file = await open(join(directory.path, 'file'), 'wx+');
  await file.truncate(sizeBytes);
  return {
    file,
    [Symbol.asyncDispose]: async () => {
      await file.close();
      await directory[Symbol.asyncDispose]();
    },
  };
}

function copied(chunk: Chunk): Buffer {
  const copy = Buffer.from(chunk.bytes);
  chunk.release();
  return copy;
}
