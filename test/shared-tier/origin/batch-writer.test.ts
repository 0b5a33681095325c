import { describe, expect, test } from 'vitest';
import { digestOf } from '../../../oci/digest.ts';
import { BatchWriter } from '../../../shared-tier/origin/batch-writer.ts';
import { diskStore } from '../../content/fixtures.ts';
import { generatedBlob, readBytes } from '../../support/blobs.ts';
import { bytesOf, failureOf } from '../fixtures.ts';

const bytes = readBytes(generatedBlob(2_000_003, 7));
const digest = digestOf(bytes);

async function ingestOf() {
  const stack = new AsyncDisposableStack();
  const { store } = stack.use(await diskStore());
  const ingest = stack.use(await store.ingest(digest, bytes.length));
  return { store, ingest, [Symbol.asyncDispose]: () => stack[Symbol.asyncDispose]() };
}

describe('a batch writer', () => {
  test.each([1_000, 65_536, 700_000])('writes pieces of %i bytes in order, and releases each', async (length) => {
    await using it = await ingestOf();
    const writer = new BatchWriter(it.ingest, 0);
    let lent = 0;
    for (let at = 0; at < bytes.length; at += length) {
      // A copy that is overwritten when it is released: who released too early would write that.
      const copy = Buffer.from(bytes.subarray(at, at + length));
      lent += 1;
      await writer.add({
        bytes: copy,
        release: () => {
          copy.fill(0);
          lent -= 1;
        },
      });
    }
    await writer.end();
    await it.ingest.commit();
    await using content = await it.store.open(digest);
    expect([lent, (await bytesOf(content)).equals(bytes)]).toEqual([0, true]);
  });

  test('writes what came slowly without waiting for more', async () => {
    await using it = await ingestOf();
    await using content = it.ingest.follow();
    const writer = new BatchWriter(it.ingest, 0);
    for (const [start, end] of [
      [0, 10],
      [10, 20],
    ] as const) {
      await writer.add({ bytes: bytes.subarray(start, end), release: () => undefined });
    }
    expect(await bytesOf(content, 0, 20)).toEqual(bytes.subarray(0, 20));
    await writer.end();
  });

  test('releases everything when a write fails, and tells it', async () => {
    await using it = await ingestOf();
    const writer = new BatchWriter(it.ingest, 0);
    it.ingest.abort(new Error('the disk is full'));
    let released = 0;
    const piece = { bytes: bytes.subarray(0, 300_000), release: () => (released += 1) };
    const adding = (async () => {
      for (let index = 0; index < 3; index += 1) await writer.add(piece);
      await writer.end();
    })();
    expect((await failureOf(adding)).code).toBe('INTERNAL');
    await failureOf(writer.end());
    expect(released).toBeGreaterThan(0);
  });

  test('has nothing to do at the end of nothing', async () => {
    await using it = await ingestOf();
    await new BatchWriter(it.ingest, 0).end();
    expect(it.ingest.gaps({ start: 0, end: 10 })).toEqual([{ start: 0, end: 10 }]);
  });
});
