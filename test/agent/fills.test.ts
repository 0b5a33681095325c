import { describe, expect, test } from 'vitest';
import { Fills } from '../../agent/fills.ts';
import { Grants } from '../../agent/grants.ts';
import { Relay, type RelayedBlob } from '../../agent/relay.ts';
import { TierClient } from '../../agent/tier-client.ts';
import { type DiskStoreOptions } from '../../content/disk-store.ts';
import { digestOf } from '../../oci/digest.ts';
import type { OciError } from '../../oci/error.ts';
import { diskStore, filesIn, read } from '../content/fixtures.ts';
import { generatedBlob, readBytes } from '../support/blobs.ts';
import { type Script, headOf, rangeIn, scripted } from '../support/house-tcp.ts';
import { scriptedTier } from '../support/house-tier.ts';
import { CALLER } from './fixtures.ts';

const MIB = 1024 * 1024;
const BYTES = readBytes(generatedBlob(10 * MIB));
const DIGEST = digestOf(BYTES);
const READER = { caller: CALLER, grants: new Grants().of(CALLER) };

const whole: Script = (socket, request) => {
  const { first, last } = rangeIn(request);
  socket.write(headOf(last + 1 - first));
  socket.end(BYTES.subarray(first, last + 1));
};

async function filling(script: Script, options: Partial<DiskStoreOptions> = {}) {
  await using parts = new AsyncDisposableStack();
  const disk = parts.use(await diskStore(options));
  const reads = parts.use(await scripted(script));
  const tier = parts.use(await scriptedTier({ openBlob: () => ({ size: BYTES.length, readUrl: reads.url.href }) }));
  const client = parts.use(new TierClient(tier.address));
  const relay = new Relay({ tier: client, pool: disk.pool });
  const failures: OciError[] = [];
  const fills = parts.use(new Fills({ store: disk.store, relay, failed: (_digest, error) => failures.push(error) }));
  const located = await relay.locate(READER, DIGEST, { statOnly: false });
  const blob: RelayedBlob = { ...READER, digest: DIGEST, located };
  const all = parts.move();
  return { ...disk, reads, relay, failures, fills, blob, [Symbol.asyncDispose]: () => all[Symbol.asyncDispose]() };
}

describe('Fills', () => {
  test('copy a blob to the disk though nobody reads along', async () => {
    await using it = await filling(whole);
    it.fills.start(it.blob);
    await expect.poll(() => it.store.stat(DIGEST)).toEqual({ sizeBytes: BYTES.length });
    await using content = await it.store.open(DIGEST);
    expect((await read(content)).equals(BYTES)).toBe(true);
    expect(it.failures).toEqual([]);
  });

  test('copy a blob once, however often it is begun, and every reader along gets all of it', async () => {
    await using it = await filling(whole);
    for (let time = 1; time <= 8; time += 1) it.fills.start(it.blob);
    const readers = await Promise.all(
      Array.from({ length: 8 }, async () => {
        await using content = await it.fills.follow(it.blob, 0);
        return await read(content);
      }),
    );
    for (const bytes of readers) expect(bytes.equals(BYTES)).toBe(true);
    expect(it.reads.requests).toHaveLength(1);
  });

  test('are made though all buffers of the pool are in use elsewhere', async () => {
    await using it = await filling(whole);
    const taken = [];
    for (let buffer = it.pool.tryAcquire(); buffer; buffer = it.pool.tryAcquire()) taken.push(buffer);
    it.fills.start(it.blob);
    await expect.poll(() => it.store.stat(DIGEST)).toEqual({ sizeBytes: BYTES.length });
  });

  test('go on where a read of the tier broke', async () => {
    await using it = await filling((socket, request) => {
      const { first, last } = rangeIn(request);
      socket.write(headOf(last + 1 - first));
      socket.end(BYTES.subarray(first, Math.min(last + 1, first + 4 * MIB)));
    });
    it.fills.start(it.blob);
    await expect.poll(() => it.store.stat(DIGEST)).toEqual({ sizeBytes: BYTES.length });
    expect(it.reads.requests.map((request) => rangeIn(request).first)).toEqual([0, 4 * MIB, 8 * MIB]);
  });

  test('are not followed by whom the tier would serve sooner: far ahead of the copy', async () => {
    const more = Promise.withResolvers<void>();
    await using it = await filling(async (socket) => {
      socket.write(headOf(BYTES.length));
      socket.write(BYTES.subarray(0, MIB));
      await more.promise;
      socket.end(BYTES.subarray(MIB));
    });
    it.fills.start(it.blob);
    await using near = await it.fills.follow(it.blob, 2 * MIB);
    expect(near).toBeDefined();
    expect(await it.fills.follow(it.blob, 9 * MIB + 1)).toBeUndefined();
    const tail = read(near, { range: { start: 2 * MIB, end: 2 * MIB + 10 } });
    more.resolve();
    expect((await tail).equals(BYTES.subarray(2 * MIB, 2 * MIB + 10))).toBe(true);
  });

  test('of what has no room fail at once, are told, and are not followed', async () => {
    await using it = await filling(whole, { capacityBytes: MIB });
    it.fills.start(it.blob);
    expect(await it.fills.follow(it.blob, 0)).toBeUndefined();
    await expect.poll(() => it.failures.map(({ code }) => code)).toEqual(['UNAVAILABLE']);
    expect(await it.store.stat(DIGEST)).toBeUndefined();
    expect(it.store.usage.bytes).toBe(0);
  });

  test('of wrong bytes cut their readers off before the end and leave nothing on the disk', async () => {
    const wrong = Buffer.from(BYTES);
    wrong[5 * MIB] = 0xff ^ (wrong[5 * MIB] ?? 0);
    await using it = await filling((socket, request) => {
      socket.write(headOf(rangeIn(request).last + 1));
      socket.end(wrong);
    });
    it.fills.start(it.blob);
    {
      await using content = await it.fills.follow(it.blob, 0);
      await expect(read(content)).rejects.toMatchObject({ code: 'CORRUPT' });
    }
    await expect.poll(() => it.failures.map(({ code }) => code)).toEqual(['CORRUPT']);
    expect(await it.store.stat(DIGEST)).toBeUndefined();
    await expect.poll(() => filesIn(it.directory)).toEqual([]);
    expect(it.store.usage.bytes).toBe(0);
  });

  test('that break for good leave nothing, and the next one begins anew', async () => {
    let isBroken = true;
    await using it = await filling((socket, request) => {
      if (isBroken) socket.destroy();
      else void whole(socket, request);
    });
    it.fills.start(it.blob);
    await expect.poll(() => it.failures.length).toBe(1);
    await expect.poll(() => filesIn(it.directory)).toEqual([]);
    isBroken = false;
    it.fills.start(it.blob);
    await expect.poll(() => it.store.stat(DIGEST)).toEqual({ sizeBytes: BYTES.length });
  });

  test('end with the agent, and their readers with them', async () => {
    await using it = await filling((socket) => void socket.write(`${headOf(BYTES.length)}and no more`));
    it.fills.start(it.blob);
    await using content = await it.fills.follow(it.blob, 0);
    const reading = read(content);
    reading.catch(() => undefined); // it is looked at below
    await it.fills[Symbol.asyncDispose]();
    await expect(reading).rejects.toMatchObject({ code: 'UNAVAILABLE' });
  });
});
