import * as fc from 'fast-check';
import { expect, test, vi } from 'vitest';
import type { Ingest } from '../../content/store.ts';
import { OciError } from '../../oci/error.ts';
import { MIB, read, sample, startReading, SOON } from '../content/fixtures.ts';
import type { MakeStore } from './content-store.ts';

/** The part of the contract that is about content on its way in. */
export function ingestContract(make: MakeStore): void {
  test('shows content when it is committed, not a moment sooner', async () => {
    await using fixture = await make();
    const { store } = fixture;
    const { bytes, digest } = sample(10_000);
    await using ingest = await store.ingest(digest, bytes.length);
    await ingest.write(0, [bytes]);
    expect([await store.stat(digest), await store.open(digest)]).toEqual([undefined, undefined]);
    expect(await Array.fromAsync(store.list())).toEqual([]);
    await ingest.commit();
    await using content = await store.open(digest);
    expect((await read(content)).equals(bytes)).toBe(true);
  });

  test('takes bytes in any order from several writers, while a reader follows', async () => {
    await using fixture = await make();
    const { store } = fixture;
    let seed = 0;
    const cuts = fc.uniqueArray(fc.nat(700_000), { maxLength: 12 });
    const order = fc.infiniteStream(fc.nat());
    await fc.assert(
      fc.asyncProperty(cuts, order, async (at, keys) => {
        const { bytes, digest } = sample(700_000, (seed += 1));
        await using ingest = await store.ingest(digest, bytes.length);
        await using follower = ingest.follow();
        const reading = startReading(follower);
        const edges = [0, ...at.toSorted((a, b) => a - b), bytes.length];
        const segments = edges
          .slice(1)
          .map((end, index) => ({ start: edges[index] ?? 0, end, key: keys.next().value }));
        await Promise.all(
          segments.toSorted((a, b) => a.key - b.key).map(({ start, end }) => writePart(ingest, bytes, start, end)),
        );
        await ingest.commit();
        await using content = await store.open(digest);
        expect((await reading.result).equals(bytes)).toBe(true);
        expect((await read(content)).equals(bytes)).toBe(true);
      }),
      { numRuns: 15 },
    );
  });

  test('writes pieces one after the other, however many', async () => {
    await using fixture = await make();
    const { bytes, digest } = sample(5_000);
    await using ingest = await fixture.store.ingest(digest, bytes.length);
    const pieces = Array.from(bytes, (_, at) => bytes.subarray(at, at + 1));
    await ingest.write(0, [Buffer.alloc(0), ...pieces, Buffer.alloc(0)]);
    await ingest.write(77, []);
    await expect(ingest.commit()).resolves.toBeUndefined();
  });

  test('lets the writer use its buffers again', async () => {
    await using fixture = await make();
    const { bytes, digest } = sample(3_000);
    await using ingest = await fixture.store.ingest(digest, bytes.length);
    const buffer = Buffer.alloc(1_000);
    for (let at = 0; at < bytes.length; at += 1_000) {
      bytes.copy(buffer, 0, at);
      await ingest.write(at, [buffer]);
    }
    buffer.fill(0);
    await expect(ingest.commit()).resolves.toBeUndefined();
  });

  test('keeps the first bytes of a place and ignores later ones', async () => {
    await using fixture = await make();
    const { store } = fixture;
    const { bytes, digest } = sample(10_000);
    const others = sample(10_000, 1).bytes;
    await using ingest = await store.ingest(digest, bytes.length);
    await writePart(ingest, bytes, 2_000, 4_000);
    await Promise.all([ingest.write(0, [bytes.subarray(0, 6_000)]), ingest.write(1_000, [others.subarray(0, 4_000)])]);
    await writePart(ingest, bytes, 5_000, 10_000);
    await ingest.write(0, [others]);
    const committed = ingest.commit();
    await ingest.write(0, [others]).catch(() => undefined);
    await committed;
    await using content = await store.open(digest);
    expect((await read(content)).equals(bytes)).toBe(true);
  });

  test('tells which bytes are missing', async () => {
    await using fixture = await make();
    const { bytes, digest } = sample(100);
    await using ingest = await fixture.store.ingest(digest, 100);
    expect(ingest.gaps({ start: 0, end: 100 })).toEqual([{ start: 0, end: 100 }]);
    await writePart(ingest, bytes, 10, 20);
    await writePart(ingest, bytes, 50, 60);
    expect(ingest.gaps({ start: 15, end: 70 })).toEqual([
      { start: 20, end: 50 },
      { start: 60, end: 70 },
    ]);
    expect(ingest.gaps({ start: 50, end: 60 })).toEqual([]);
  });

  test('tells where readers wait, but not those who wait for the verification', async () => {
    await using fixture = await make();
    const { bytes, digest } = sample(1_000);
    await using ingest = await fixture.store.ingest(digest, 1_000);
    await using follower = ingest.follow();
    await writePart(ingest, bytes, 900, 1_000);
    startReading(follower);
    startReading(follower, { range: { start: 500, end: 600 } });
    const held = startReading(follower, { range: { start: 950, end: 1_000 } });
    await vi.waitFor(() => expect(held.receivedBytes).toBe(49), SOON);
    expect(ingest.wanted().toSorted((a, b) => a - b)).toEqual([0, 500]);
    await writePart(ingest, bytes, 500, 550);
    await vi.waitFor(() => expect(ingest.wanted().toSorted((a, b) => a - b)).toEqual([0, 550]), SOON);
  });

  test('gives readers each byte as it arrives, the last one after the verification', async () => {
    await using fixture = await make();
    const { bytes, digest } = sample(1_000);
    await using ingest = await fixture.store.ingest(digest, 1_000);
    await using follower = ingest.follow();
    const [all, start, middle, last] = [
      startReading(follower),
      startReading(follower, { range: { start: 0, end: 100 } }),
      startReading(follower, { range: { start: 600, end: 999 } }),
      startReading(follower, { range: { start: 999, end: 1_000 } }),
    ];
    await writePart(ingest, bytes, 0, 100);
    expect((await start.result).equals(bytes.subarray(0, 100))).toBe(true);
    await vi.waitFor(() => expect(all.receivedBytes).toBe(100), SOON);
    await writePart(ingest, bytes, 600, 1_000);
    expect((await middle.result).equals(bytes.subarray(600, 999))).toBe(true);
    expect([all.receivedBytes, last.receivedBytes]).toEqual([100, 0]);
    await writePart(ingest, bytes, 100, 600);
    await vi.waitFor(() => expect(all.receivedBytes).toBe(999), SOON);
    await ingest.commit();
    expect([(await all.result).equals(bytes), (await last.result)[0]]).toEqual([true, bytes[999]]);
  });

  test('tells every reader of wrong bytes, and none has received the last one', async () => {
    await using fixture = await make();
    const { store } = fixture;
    const { digest } = sample(2 * MIB);
    const wrong = sample(2 * MIB, 1).bytes;
    await using ingest = await store.ingest(digest, wrong.length);
    await using follower = ingest.follow();
    const end = wrong.length;
    const starts = [0, 5, MIB, end - 2, end - 1];
    const readings = starts.map((start) => startReading(follower, { range: { start, end } }));
    await ingest.write(0, [wrong]);
    const positions = (): number[] => readings.map((one, at) => one.receivedBytes + (starts[at] ?? 0));
    const lastByte = starts.map(() => end - 1);
    await vi.waitFor(() => expect(positions()).toEqual(lastByte), SOON);
    await expect(ingest.commit()).rejects.toMatchObject({ code: 'CORRUPT' });
    for (const { result } of readings) await expect(result).rejects.toMatchObject({ code: 'CORRUPT' });
    expect(positions()).toEqual(lastByte);
    expect([await store.stat(digest), await store.open(digest)]).toEqual([undefined, undefined]);
    expect(() => ingest.follow()).toThrow(expect.objectContaining({ code: 'CORRUPT' }));
  });

  test('takes more bytes than the size says for corrupt', async () => {
    await using fixture = await make();
    const { bytes, digest } = sample(100);
    await using ingest = await fixture.store.ingest(digest, 99);
    await using follower = ingest.follow();
    const reading = startReading(follower);
    await expect(ingest.write(0, [bytes])).rejects.toMatchObject({ code: 'CORRUPT' });
    await expect(reading.result).rejects.toMatchObject({ code: 'CORRUPT' });
  });

  test('tells readers, writers and the committer why it was aborted', async () => {
    await using fixture = await make();
    const { store } = fixture;
    const { bytes, digest } = sample(1_000);
    await using ingest = await store.ingest(digest, 1_000);
    await using follower = ingest.follow();
    await writePart(ingest, bytes, 0, 500);
    const reading = startReading(follower);
    await vi.waitFor(() => expect(reading.receivedBytes).toBe(500), SOON);
    const [committed, written] = [ingest.commit(), ingest.write(500, [bytes.subarray(500, 600)])];
    committed.catch(() => undefined); // looked at below
    written.catch(() => undefined);
    const reason = new OciError('MANIFEST_UNKNOWN', 'the origin took it away');
    ingest.abort(reason);
    ingest.abort(new Error('a later reason does not count'));
    await expect(reading.result).rejects.toBe(reason);
    await expect(written).rejects.toBe(reason);
    await expect(committed).rejects.toBe(reason);
    await expect(ingest.write(0, [bytes])).rejects.toBe(reason);
    expect(() => ingest.follow()).toThrow(reason);
    expect(await store.stat(digest)).toBeUndefined();
  });

  test('tells readers of one that is disposed that the content is unavailable, and takes it in anew', async () => {
    await using fixture = await make();
    const { store } = fixture;
    const { bytes, digest } = sample(1_000);
    const first = await store.ingest(digest, 1_000);
    await using follower = first.follow();
    const reading = startReading(follower);
    await first[Symbol.asyncDispose]();
    await expect(reading.result).rejects.toMatchObject({ code: 'UNAVAILABLE' });
    expect(() => first.follow()).toThrow(expect.objectContaining({ code: 'UNAVAILABLE' }));
    await store.put(digest, bytes);
    await using content = await store.open(digest);
    expect((await read(content)).equals(bytes)).toBe(true);
  });

  test('lets followers read on after commit, abort, disposal and deletion', async () => {
    await using fixture = await make();
    const { store } = fixture;
    const { bytes, digest } = sample(MIB);
    const ingest = await store.ingest(digest, bytes.length);
    await using follower = ingest.follow();
    await ingest.write(0, [bytes]);
    await ingest.commit();
    ingest.abort(new Error('too late'));
    await ingest[Symbol.asyncDispose]();
    await store.delete(digest);
    expect((await read(follower)).equals(bytes)).toBe(true);
  });

  test('takes the same content from two ingests', async () => {
    await using fixture = await make();
    const { store } = fixture;
    const { bytes, digest } = sample(MIB);
    const [one, other] = [await store.ingest(digest, bytes.length), await store.ingest(digest, bytes.length)];
    await using slow = other.follow();
    await Promise.all([one.write(0, [bytes]), other.write(0, [bytes])]);
    await Promise.all([one.commit(), other.commit()]);
    await Promise.all([one[Symbol.asyncDispose](), other[Symbol.asyncDispose]()]);
    expect((await read(slow)).equals(bytes)).toBe(true);
    expect(await Array.fromAsync(store.list())).toEqual([{ digest, sizeBytes: MIB }]);
  });

  test('is not disturbed by another ingest of the digest that brings wrong bytes', async () => {
    await using fixture = await make();
    const { store } = fixture;
    const { bytes, digest } = sample(1_000);
    await using wrong = await store.ingest(digest, 1_000);
    await using right = await store.ingest(digest, 1_000);
    await wrong.write(0, [sample(1_000, 1).bytes]);
    await right.write(0, [bytes]);
    await right.commit();
    await expect(wrong.commit()).rejects.toMatchObject({ code: 'CORRUPT' });
    await using content = await store.open(digest);
    expect((await read(content)).equals(bytes)).toBe(true);
  });

  test('commits when the bytes that are still being written have come', async () => {
    await using fixture = await make();
    const { bytes, digest } = sample(1_000);
    await using ingest = await fixture.store.ingest(digest, 1_000);
    const committed = ingest.commit();
    await writePart(ingest, bytes, 500, 1_000);
    await writePart(ingest, bytes, 0, 500);
    await expect(committed).resolves.toBeUndefined();
  });

  test('lets one reader go without disturbing the others', async () => {
    await using fixture = await make();
    const { bytes, digest } = sample(1_000);
    await using ingest = await fixture.store.ingest(digest, 1_000);
    await using leaving = ingest.follow();
    await using staying = ingest.follow();
    const [client, reason] = [new AbortController(), new Error('the client has gone')];
    const [one, other] = [startReading(leaving, { signal: client.signal }), startReading(staying)];
    await vi.waitFor(() => expect(ingest.wanted()).toEqual([0, 0]), SOON);
    client.abort(reason);
    await expect(one.result).rejects.toBe(reason);
    expect(ingest.wanted()).toEqual([0]);
    await ingest.write(0, [bytes]);
    await ingest.commit();
    expect((await other.result).equals(bytes)).toBe(true);
  });

  test.each([1, 1_000])('verifies sha512 and sha256 of %d bytes', async (size) => {
    await using fixture = await make();
    const { store } = fixture;
    for (const algorithm of ['sha256', 'sha512'] as const) {
      const { bytes, digest } = sample(size, 0, algorithm);
      await using wrong = await store.ingest(sample(7, 3, algorithm).digest, size);
      await using right = await store.ingest(digest, size);
      await Promise.all([wrong.write(0, [bytes]), right.write(0, [bytes])]);
      await expect(wrong.commit()).rejects.toMatchObject({ code: 'CORRUPT' });
      await right.commit();
      expect(await store.stat(digest)).toEqual({ sizeBytes: size });
    }
  });
}

async function writePart(ingest: Ingest, bytes: Buffer, start: number, end: number): Promise<void> {
  await ingest.write(start, [bytes.subarray(start, end)]);
}
