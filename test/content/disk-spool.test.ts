import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { BufferPool } from '../../content/buffer-pool.ts';
import { DiskSpool } from '../../content/disk-spool.ts';
import { Hasher } from '../../content/hasher.ts';
import { Reserved } from '../../content/reserved.ts';
import { tmpDir } from '../support/tmp-dir.ts';
import { MIB, diskStore, sample } from './fixtures.ts';

const { bytes, digest } = sample(3 * MIB + 5);

async function storeOf(capacityBytes = 64 * MIB) {
  const fixture = await diskStore({ capacityBytes });
  return {
    store: fixture.store,
    leftovers: async () => (await readdir(fixture.store.layout.ingests)).length,
    [Symbol.asyncDispose]: () => fixture[Symbol.asyncDispose](),
  };
}

describe('a spool in a directory', () => {
  test('takes the room of its content in the end, and leaves nothing else', async () => {
    await using it = await storeOf();
    const spool = await it.store.spool();
    await spool.append([bytes]);
    spool.truncate(2 * MIB);
    await spool.append([bytes.subarray(2 * MIB)]);
    await spool.commit(digest);
    expect(it.store.usage).toMatchObject({ blobs: 1, bytes: bytes.length });
    expect(await it.leftovers()).toBe(0);
  });

  test('leaves nothing when it is dropped', async () => {
    await using it = await storeOf();
    const spool = await it.store.spool();
    await spool.append([bytes]);
    await expect(spool.commit(sample(1).digest)).rejects.toMatchObject({ code: 'CORRUPT' });
    expect(it.store.usage.bytes).toBeGreaterThanOrEqual(bytes.length);
    await spool[Symbol.asyncDispose]();
    expect(it.store.usage).toMatchObject({ blobs: 0, bytes: 0 });
    await expect.poll(it.leftovers).toBe(0);
    await expect(spool.append([bytes])).rejects.toMatchObject({ code: 'UNAVAILABLE' });
  });

  test('that has no room fails, and gives back what it took', async () => {
    await using it = await storeOf(2 * MIB);
    const spool = await it.store.spool();
    await spool.append([bytes.subarray(0, MIB)]);
    await expect(spool.append([bytes])).rejects.toMatchObject({ code: 'UNAVAILABLE' });
    await spool[Symbol.asyncDispose]();
    expect(it.store.usage.bytes).toBe(0);
  });

  test('of bytes that are there already is not kept twice', async () => {
    await using it = await storeOf();
    await it.store.put(digest, bytes);
    const spool = await it.store.spool();
    await spool.append([bytes]);
    await spool.commit(digest);
    expect(it.store.usage).toMatchObject({ blobs: 1, bytes: bytes.length });
    await expect.poll(it.leftovers).toBe(0);
  });

  test('becomes durable while it grows: the end of a large one has no more to wait for than that of a small one', async () => {
    await using directory = await tmpDir();
    await using hasher = new Hasher(1);
    const settled: number[] = [];
    const begin = async (): Promise<void> => void settled.push(spool.sizeBytes / MIB);
    await using spool = await DiskSpool.open({
      path: join(directory.path, 'spool'),
      hasher,
      settler: { begin },
      pool: new BufferPool(),
      reserve: async () => undefined,
      reserved: new Reserved(),
      publish: () => undefined,
      remove: () => undefined,
    });
    const piece = Buffer.alloc(32 * MIB);
    for (let at = 0; at < 6; at += 1) await spool.append([piece]);
    expect(settled).toEqual([64, 128, 192]);
  });
});
