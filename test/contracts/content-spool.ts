import { expect, test } from 'vitest';
import { digestOf } from '../../oci/digest.ts';
import { MIB, read, sample, taken } from '../content/fixtures.ts';
import { forever } from '../shared-tier/fixtures.ts';
import type { MakeStore } from './content-store.ts';

const { bytes: BYTES, digest: D } = sample(3 * MIB + 5);

/** The part of the contract that is about content on its way in whose size and digest nobody knows yet. */
export function spoolContract(make: MakeStore): void {
  test.each(['sha256', 'sha512'] as const)(
    'takes a spool in under its digest (%s), not a moment sooner',
    async (by) => {
      await using it = await make();
      await using spool = await it.store.spool();
      for (let at = 0; at < BYTES.length; at += 700_000) await spool.append([BYTES.subarray(at, at + 700_000)]);
      const digest = digestOf(BYTES, by);
      expect([await it.store.stat(digest), spool.sizeBytes]).toEqual([undefined, BYTES.length]);
      await spool.commit(digest);
      await using content = await it.store.open(digest);
      expect((await read(content)).equals(BYTES)).toBe(true);
      expect(await Array.fromAsync(it.store.list())).toEqual([{ digest, sizeBytes: BYTES.length }]);
    },
  );

  test('takes of a spool what was not cut off', async () => {
    await using it = await make();
    await using spool = await it.store.spool();
    await spool.append([BYTES]);
    spool.truncate(2 * MIB);
    await spool.append([Buffer.from('other end')]);
    const whole = Buffer.concat([BYTES.subarray(0, 2 * MIB), Buffer.from('other end')]);
    await spool.commit(digestOf(whole));
    await using content = await it.store.open(digestOf(whole));
    expect((await read(content)).equals(whole)).toBe(true);
  });

  test('lets a spool be read again while it grows', async () => {
    await using it = await make();
    await using spool = await it.store.spool();
    await spool.append([BYTES]);
    const pieces: Buffer[] = [];
    const range = { start: MIB, end: BYTES.length };
    for await (const chunk of spool.chunks(range, { signal: forever })) pieces.push(taken(chunk));
    expect(Buffer.concat(pieces).equals(BYTES.subarray(MIB))).toBe(true);
  });

  test('takes in a spool that has been settled in between, and goes on', async () => {
    await using it = await make();
    const { bytes, digest } = sample(20 * MIB, 3);
    await using spool = await it.store.spool();
    for (let at = 0; at < bytes.length; at += MIB) {
      await spool.append([bytes.subarray(at, at + MIB)]);
      spool.settle();
    }
    await spool.commit(digest);
    await using content = await it.store.open(digest);
    expect((await read(content)).equals(bytes)).toBe(true);
    await using dropped = await it.store.spool();
    await dropped.append([bytes]);
    dropped.settle();
  });

  test('takes nothing of a spool under another digest', async () => {
    await using it = await make();
    await using spool = await it.store.spool();
    await spool.append([BYTES]);
    await expect(spool.commit(sample(1).digest)).rejects.toMatchObject({ code: 'CORRUPT' });
    expect([await it.store.stat(sample(1).digest), await it.store.stat(D)]).toEqual([undefined, undefined]);
    expect(await Array.fromAsync(it.store.list())).toEqual([]);
  });

  test('takes a spool of no bytes', async () => {
    await using it = await make();
    const { digest } = sample(0);
    await (await it.store.spool()).commit(digest);
    expect(await it.store.stat(digest)).toEqual({ sizeBytes: 0 });
  });

  test('takes a spool of what is there already', async () => {
    await using it = await make();
    await it.store.put(D, BYTES);
    await using spool = await it.store.spool();
    await spool.append([BYTES]);
    await spool.commit(D);
    expect(await Array.fromAsync(it.store.list())).toEqual([{ digest: D, sizeBytes: BYTES.length }]);
  });
}
