import { describe, expect, test } from 'vitest';
import { digestOf } from '../../oci/digest.ts';
import { BufferPool } from '../../content/buffer-pool.ts';
import { DiskStore } from '../../content/disk-store.ts';
import { Hasher } from '../../content/hasher.ts';
import { bytesOf, failureOf, forever } from '../shared-tier/fixtures.ts';
import { tmpDir } from '../support/tmp-dir.ts';
import { readdir } from 'node:fs/promises';

const hasher = new Hasher(1);
const MIB = 1024 * 1024;
const bytes = Buffer.alloc(3 * MIB + 5, 'circ');

async function storeOf(capacityBytes = 64 * MIB) {
  const directory = await tmpDir();
  const store = await DiskStore.open({ directory: directory.path, capacityBytes, pool: new BufferPool(), hasher });
  return {
    store,
    leftovers: async () => (await readdir(store.layout.ingests)).length,
    [Symbol.asyncDispose]: () => directory[Symbol.asyncDispose](),
  };
}

describe('a spool', () => {
  test.each(['sha256', 'sha512'] as const)(
    'becomes content under its digest (%s), and takes its size',
    async (algorithm) => {
      await using it = await storeOf();
      const spool = await it.store.spool();
      for (let at = 0; at < bytes.length; at += 700_000) await spool.append(bytes.subarray(at, at + 700_000));
      const digest = digestOf(bytes, algorithm);
      expect(await it.store.stat(digest)).toBeUndefined();
      await spool.commit(digest);
      await using content = await it.store.open(digest);
      expect((await bytesOf(content)).equals(bytes)).toBe(true);
      expect([it.store.usage.bytes, await it.leftovers()]).toEqual([bytes.length, 0]);
    },
  );

  test('is content of what was not cut off', async () => {
    await using it = await storeOf();
    const spool = await it.store.spool();
    await spool.append(bytes);
    spool.truncate(2 * MIB);
    await spool.append(Buffer.from('other end'));
    const whole = Buffer.concat([bytes.subarray(0, 2 * MIB), Buffer.from('other end')]);
    await spool.commit(digestOf(whole));
    await using content = await it.store.open(digestOf(whole));
    expect((await bytesOf(content)).equals(whole)).toBe(true);
    expect(it.store.usage.bytes).toBe(whole.length);
  });

  test('can be read again from anywhere while it grows', async () => {
    await using it = await storeOf();
    await using spool = await it.store.spool();
    await spool.append(bytes);
    const pieces: Buffer[] = [];
    for await (const { bytes: piece, release } of spool.chunks(MIB, { signal: forever })) {
      pieces.push(Buffer.from(piece));
      release();
    }
    expect(Buffer.concat(pieces).equals(bytes.subarray(MIB))).toBe(true);
  });

  test('is nothing under another digest, and leaves nothing when it is dropped', async () => {
    await using it = await storeOf();
    const spool = await it.store.spool();
    await spool.append(bytes);
    expect((await failureOf(spool.commit(digestOf(Buffer.from('other'))))).code).toBe('CORRUPT');
    expect(it.store.usage.bytes).toBeGreaterThanOrEqual(bytes.length);
    await spool[Symbol.asyncDispose]();
    expect(it.store.usage).toMatchObject({ blobs: 0, bytes: 0 });
    await expect.poll(it.leftovers).toBe(0);
    expect((await failureOf(spool.append(bytes))).code).toBe('UNAVAILABLE');
  });

  test('of nothing is the content without bytes', async () => {
    await using it = await storeOf();
    const empty = digestOf(new Uint8Array());
    await (await it.store.spool()).commit(empty);
    expect(await it.store.stat(empty)).toEqual({ sizeBytes: 0 });
  });

  test('that has no room fails, and gives back what it took', async () => {
    await using it = await storeOf(2 * MIB);
    const spool = await it.store.spool();
    await spool.append(bytes.subarray(0, MIB));
    expect((await failureOf(spool.append(bytes))).code).toBe('UNAVAILABLE');
    await spool[Symbol.asyncDispose]();
    expect(it.store.usage.bytes).toBe(0);
  });

  test('of bytes that are there already is not kept twice', async () => {
    await using it = await storeOf();
    await it.store.put(digestOf(bytes), bytes);
    const spool = await it.store.spool();
    await spool.append(bytes);
    await spool.commit(digestOf(bytes));
    expect(it.store.usage).toMatchObject({ blobs: 1, bytes: bytes.length });
    await expect.poll(it.leftovers).toBe(0);
  });
});
