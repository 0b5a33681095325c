import { getEventListeners } from 'node:events';
import { type FileHandle, open } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, test, vi } from 'vitest';
import { BufferPool } from '../../content/buffer-pool.ts';
import { DiskIngest } from '../../content/disk-ingest.ts';
import { Hasher } from '../../content/hasher.ts';
import { OciError } from '../../oci/error.ts';
import { tmpDir } from '../support/tmp-dir.ts';
import { MIB, sample, startReading, SOON } from './fixtures.ts';

const { bytes: BYTES, digest: DIGEST } = sample(MIB);

/** What an ingest told its store. */
interface Told {
  writtenBytes: number;
  readers: number;
  readonly closed: [boolean, number][];
}

interface IngestFixture extends AsyncDisposable {
  readonly ingest: DiskIngest;
  readonly file: FileHandle;
  readonly told: Told;
}

describe('an ingest into a file', () => {
  test('tells each byte once that is written, whoever writes it how often', async () => {
    await using fixture = await begin();
    const { ingest, told } = fixture;
    await Promise.all([ingest.write(0, [BYTES]), ingest.write(0, [BYTES]), ingest.write(7, [BYTES.subarray(7)])]);
    await ingest.write(0, [BYTES]);
    await ingest.commit();
    await vi.waitFor(() => expect(told.closed).toEqual([[true, MIB]]), SOON);
    expect(told.writtenBytes).toBe(MIB);
  });

  test('tells how much it had when it failed', async () => {
    await using fixture = await begin();
    const { ingest, told } = fixture;
    await ingest.write(5, [BYTES.subarray(5, 105)]);
    await ingest[Symbol.asyncDispose]();
    expect([told.closed, told.writtenBytes]).toEqual([[[false, 100]], 100]);
  });

  test('closes its file after the last reader, and once', async () => {
    await using fixture = await begin();
    const { ingest, file, told } = fixture;
    const [one, other] = [ingest.follow(), ingest.follow()];
    await ingest.write(0, [BYTES]);
    await ingest.commit();
    await ingest[Symbol.asyncDispose]();
    await one[Symbol.asyncDispose]();
    expect([told.readers, told.closed, file.fd]).toEqual([1, [], expect.any(Number)]);
    await other[Symbol.asyncDispose]();
    await other[Symbol.asyncDispose]();
    expect([told.readers, told.closed, file.fd]).toEqual([0, [[true, MIB]], -1]);
  });

  test('closes its file after the last write that was under way when it was aborted', async () => {
    await using fixture = await begin();
    const { ingest, told } = fixture;
    const writes = Array.from({ length: 16 }, (_, at) =>
      ingest.write(at * 1_000, [BYTES.subarray(at * 1_000, (at + 1) * 1_000)]),
    );
    ingest.abort(new Error('turned away'));
    const results = await Promise.allSettled(writes);
    expect(new Set(results.map(({ status }) => status))).toEqual(new Set(['rejected']));
    await ingest[Symbol.asyncDispose]();
    expect(told.closed).toEqual([[false, 0]]);
  });

  // The device takes bytes from nobody, as a full disk does.
  test('on a full disk is unavailable to writer, committer and readers', async () => {
    await using fixture = await begin('/dev/full');
    const { ingest, told } = fixture;
    const follower = ingest.follow();
    const reading = startReading(follower);
    await expect(ingest.write(0, [BYTES])).rejects.toMatchObject({ code: 'UNAVAILABLE', cause: { code: 'ENOSPC' } });
    await expect(reading.result).rejects.toMatchObject({ code: 'UNAVAILABLE' });
    await expect(ingest.commit()).rejects.toMatchObject({ code: 'UNAVAILABLE' });
    await follower[Symbol.asyncDispose]();
    await ingest[Symbol.asyncDispose]();
    expect([told.closed, told.writtenBytes]).toEqual([[[false, 0]], 0]);
  });

  test('shows nothing when it cannot be published', async () => {
    await using fixture = await begin(undefined, () => {
      throw new Error('no place');
    });
    const { ingest, told } = fixture;
    await ingest.write(0, [BYTES]);
    await expect(ingest.commit()).rejects.toMatchObject({ code: 'UNAVAILABLE' });
    await ingest[Symbol.asyncDispose]();
    expect(told.closed).toEqual([[false, MIB]]);
  });

  test('shows nothing when it is aborted while the verified bytes go to the disk', async () => {
    let published = 0;
    await using fixture = await begin(undefined, () => {
      published += 1;
    });
    const { ingest, file, told } = fixture;
    const reason = new OciError('UNAVAILABLE', 'turned away');
    file.datasync = async () => ingest.abort(reason);
    await ingest.write(0, [BYTES]);
    await expect(ingest.commit()).rejects.toBe(reason);
    await ingest[Symbol.asyncDispose]();
    expect([published, told.closed]).toEqual([0, [[false, MIB]]]);
  });

  test('is unavailable when its file is cut short before the verification', async () => {
    await using fixture = await begin();
    const { ingest, file } = fixture;
    await ingest.write(1, [BYTES.subarray(1)]);
    await file.truncate(10);
    await ingest.write(0, [BYTES.subarray(0, 1)]);
    await expect(ingest.commit()).rejects.toMatchObject({ code: 'UNAVAILABLE' });
  });

  test('may not be followed any more when its last reader has gone after the commit', async () => {
    await using fixture = await begin();
    const { ingest, file } = fixture;
    await ingest.write(0, [BYTES]);
    await ingest.commit();
    await ingest[Symbol.asyncDispose]();
    expect(() => ingest.follow()).toThrow(expect.objectContaining({ code: 'UNAVAILABLE' }));
    expect(file.fd).toBe(-1);
  });

  test("leaves nothing on the signal of a reader's client, however often that waited", async () => {
    await using fixture = await begin();
    const { ingest } = fixture;
    await using follower = ingest.follow();
    const { signal } = new AbortController();
    const reading = startReading(follower, { signal });
    for (let at = 0; at < MIB; at += MIB / 16) {
      await vi.waitFor(() => expect(ingest.wanted()).toEqual([at]), SOON);
      expect(getEventListeners(signal, 'abort')).toHaveLength(1);
      await ingest.write(at, [BYTES.subarray(at, at + MIB / 16)]);
    }
    await ingest.commit();
    expect((await reading.result).equals(BYTES)).toBe(true);
    expect(getEventListeners(signal, 'abort')).toEqual([]);
  });

  test('has no reader that waits for a place whose bytes are there', async () => {
    await using fixture = await begin();
    const { ingest } = fixture;
    await using follower = ingest.follow();
    const client = new AbortController();
    const readings = Array.from({ length: 200 }, (_, at) =>
      startReading(follower, { range: { start: at * 5_000, end: at * 5_000 + 5_000 }, signal: client.signal }),
    );
    await vi.waitFor(() => expect(ingest.wanted()).toHaveLength(200), SOON);
    for (let at = 0; at < MIB; at += 4_096) await ingest.write(at, [BYTES.subarray(at, at + 4_096)]);
    const parts = await Promise.all(readings.map(({ result }) => result));
    expect(Buffer.concat(parts).equals(BYTES.subarray(0, 1_000_000))).toBe(true);
    expect(ingest.wanted()).toEqual([]);
  });
});

async function begin(path?: string, publish: () => void = () => undefined): Promise<IngestFixture> {
  const stack = new AsyncDisposableStack();
  const directory = stack.use(await tmpDir());
  const hasher = stack.use(new Hasher(1));
  const file = path === undefined ? await open(join(directory.path, 'x'), 'wx+') : await open(path, 'r+');
  const told: Told = { writtenBytes: 0, readers: 0, closed: [] };
  const ingest = stack.use(
    new DiskIngest({
      file,
      digest: DIGEST,
      sizeBytes: MIB,
      hasher,
      pool: new BufferPool(),
      publish,
      written: (bytes) => {
        told.writtenBytes += bytes;
      },
      readers: (change) => {
        told.readers += change;
      },
      closed: (...what) => told.closed.push(what),
    }),
  );
  return { ingest, file, told, [Symbol.asyncDispose]: () => stack.disposeAsync() };
}
