import { describe, expect, test, vi } from 'vitest';
import { Bucket } from '../../../shared-tier/store/bucket.ts';
import { Upload, type UploadOptions } from '../../../shared-tier/store/upload.ts';
import { Slots } from '../../../shared-tier/slots.ts';
import { MIB, SOON, sample } from '../../content/fixtures.ts';
import { s3Server } from '../../support/s3-server.ts';

const KEY = 'some/key';
const { bytes: BYTES } = sample(MIB);
const WHOLE = 'of/a/test/some/key';

async function uploadOf(options: Partial<UploadOptions> = {}) {
  const stack = new AsyncDisposableStack();
  const server = stack.use(await s3Server());
  const bucket = stack.use(new Bucket(server.config()));
  const reads: [number, number][] = [];
  const upload = new Upload({
    bucket,
    key: KEY,
    sizeBytes: BYTES.length,
    slots: new Slots({ slots: 16 }),
    partBytes: MIB / 8,
    async *read({ start, end }) {
      reads.push([start, end]);
      for (let at = start; at < end; at += 10_000) {
        yield { bytes: BYTES.subarray(at, Math.min(end, at + 10_000)), release: () => undefined };
      }
    },
    ...options,
  });
  return {
    upload,
    server,
    reads,
    stored: () => server.bucket.objects.get(WHOLE)?.bytes,
    parts: () => server.count({ method: 'PUT' }),
    [Symbol.asyncDispose]: () => stack.disposeAsync(),
  };
}

describe('an upload', () => {
  test('sends the parts whose bytes are there, but never the last one, and is no object before its end', async () => {
    await using it = await uploadOf();
    let there = MIB / 8 + 5;
    const advance = (): void => it.upload.advance(({ end }) => end <= there);
    advance();
    await vi.waitFor(() => expect(it.parts()).toBe(1), SOON);
    there = MIB;
    advance();
    await vi.waitFor(() => expect(it.parts()).toBe(7), SOON);
    expect(it.stored()).toBeUndefined();
    await it.upload.finish();
    expect(it.stored()?.equals(BYTES)).toBe(true);
    expect([it.parts(), it.server.bucket.uploads.size]).toEqual([8, 0]);
  });

  test('has at most four parts on their way', async () => {
    await using it = await uploadOf();
    it.server.moods.push({ method: 'PUT', silent: true });
    it.upload.advance(() => true);
    await vi.waitFor(() => expect(it.parts()).toBe(4), SOON);
    it.upload.advance(() => true);
    expect(it.reads).toHaveLength(4);
    await it.upload.abort();
  });

  test('sends what fits in one part with one request', async () => {
    await using it = await uploadOf({ partBytes: MIB });
    it.upload.advance(() => true);
    await it.upload.finish();
    expect(it.stored()?.equals(BYTES)).toBe(true);
    expect(it.server.requests).toHaveLength(1);
  });

  test('makes parts so large that ten thousand are enough', async () => {
    await using it = await uploadOf({ sizeBytes: 100_000 * MIB, partBytes: MIB });
    const asked: { start: number; end: number }[] = [];
    it.upload.advance((range) => {
      asked.push(range);
      return false;
    });
    expect(asked).toEqual([{ start: 0, end: 10 * MIB }]);
  });

  test('sends a part again that broke, that the store was too busy for, or that it did not answer', async () => {
    await using it = await uploadOf();
    it.server.moods.push(
      { method: 'PUT', times: 1, cutAfter: 20_000 },
      { method: 'PUT', times: 2, error: [503, 'SlowDown'] },
      { method: 'POST', times: 1, error: [500, 'InternalError'] },
    );
    await it.upload.finish();
    expect(it.stored()?.equals(BYTES)).toBe(true);
  });

  test('gives up after a few tries, and removes its parts', async () => {
    await using it = await uploadOf();
    it.server.moods.push({ method: 'PUT', error: [503, 'SlowDown'] });
    await expect(it.upload.finish()).rejects.toMatchObject({ code: 'UNAVAILABLE' });
    expect([it.stored(), it.server.bucket.uploads.size]).toEqual([undefined, 0]);
    expect(it.parts()).toBeLessThanOrEqual(4 * 4);
  });

  test.each([
    [403, 'AccessDenied'],
    [404, 'NoSuchBucket'],
  ])('does not ask twice when the answer is %d %s', async (status, code) => {
    await using it = await uploadOf();
    it.server.moods.push({ error: [status, code] });
    await expect(it.upload.finish()).rejects.toMatchObject({ code: 'UNAVAILABLE' });
    expect(it.server.count({ method: 'POST' })).toBe(1);
  });

  test('that is given up in the middle leaves nothing', async () => {
    await using it = await uploadOf();
    it.server.moods.push({ method: 'PUT', silent: true });
    it.upload.advance(() => true);
    await vi.waitFor(() => expect(it.parts()).toBe(4), SOON);
    await it.upload.abort();
    expect([it.stored(), it.server.bucket.uploads.size]).toEqual([undefined, 0]);
    await expect(it.upload.finish()).rejects.toMatchObject({ code: 'UNAVAILABLE' });
  });

  test('counts as done when the store completed it and the answer was lost', async () => {
    await using it = await uploadOf();
    it.upload.advance(() => true);
    await vi.waitFor(() => expect(it.parts()).toBe(7), SOON);
    it.server.moods.push({ method: 'POST', times: 1, lost: true });
    await expect(it.upload.finish()).resolves.toBeUndefined();
    expect(it.stored()?.equals(BYTES)).toBe(true);
  });
});
