import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { BufferPool } from '../../content/buffer-pool.ts';
import type { Chunk } from '../../content/chunk.ts';
import { DiskStore, type DiskStoreOptions, type EvictionReason } from '../../content/disk-store.ts';
import { Hasher } from '../../content/hasher.ts';
import type { Content, ContentStore } from '../../content/store.ts';
import { type Algorithm, type Digest, digestOf } from '../../oci/digest.ts';
import type { ByteRange } from '../../oci/range.ts';
import { generatedBlob, readBytes } from '../support/blobs.ts';
import { tmpDir } from '../support/tmp-dir.ts';

export const MIB = 1024 * 1024;

/** How long to wait for what happens by itself; a busy machine needs more than a moment. */
export const SOON = { timeout: 10_000 };

/** Bytes with their digest; another seed gives others. */
export function sample(sizeBytes: number, seed = 0, algorithm?: Algorithm): { bytes: Buffer; digest: Digest } {
  const bytes = readBytes(generatedBlob(sizeBytes, seed));
  return { bytes, digest: digestOf(bytes, algorithm) };
}

/** Brings content into a store as it comes from an origin. */
export async function ingestWhole(store: ContentStore, { digest, bytes }: ReturnType<typeof sample>): Promise<void> {
  await using ingest = await store.ingest(digest, bytes.length);
  await ingest.write(0, [bytes]);
  await ingest.commit();
}

/** A reader at work. */
export interface Reading {
  /** Bytes received so far. */
  readonly receivedBytes: number;
  /** All bytes of the range; may be looked at later without being an unhandled rejection. */
  readonly result: Promise<Buffer>;
}

export interface ReadingOptions {
  readonly range?: ByteRange;
  readonly signal?: AbortSignal;
}

/** Reads a range, or everything, in the background. */
export function startReading(content: Content, options: ReadingOptions = {}): Reading {
  const { range = { start: 0, end: content.sizeBytes }, signal = new AbortController().signal } = options;
  const pieces: Buffer[] = [];
  const result = (async () => {
    for await (const chunk of content.chunks(range, { signal })) pieces.push(taken(chunk));
    return Buffer.concat(pieces);
  })();
  result.catch(() => undefined);
  return {
    get receivedBytes() {
      return pieces.reduce((sum, piece) => sum + piece.length, 0);
    },
    result,
  };
}

/** Reads a range, or everything. */
export async function read(content: Content | undefined, options?: ReadingOptions): Promise<Buffer> {
  if (!content) throw new Error('there is no such content');
  return await startReading(content, options).result;
}

/** The bytes of a chunk, which is given back. */
export function taken(chunk: Chunk): Buffer {
  const copy = Buffer.from(chunk.bytes);
  chunk.release();
  return copy;
}

export interface DiskFixture extends AsyncDisposable {
  readonly store: DiskStore;
  readonly directory: string;
  readonly pool: BufferPool;
  /** What was evicted, in order. */
  readonly evicted: [Digest, EvictionReason][];
  /** Opens the same directory again, as the next process would. */
  reopen(options?: Partial<DiskStoreOptions>): Promise<DiskStore>;
}

let sharedHasher: Hasher | undefined;

/** A disk store in a directory of its own. */
export async function diskStore(options: Partial<DiskStoreOptions> = {}): Promise<DiskFixture> {
  const directory = await tmpDir();
  const pool = new BufferPool();
  // Threads are slow to start and hold nothing between two tests, so there is one for all that want one.
  const hasher = (sharedHasher ??= new Hasher(1));
  const evicted: [Digest, EvictionReason][] = [];
  const reopen = (more: Partial<DiskStoreOptions> = {}): Promise<DiskStore> =>
    DiskStore.open({
      directory: directory.path,
      capacityBytes: 256 * MIB,
      pool,
      hasher,
      onEvict: (digest, reason) => evicted.push([digest, reason]),
      ...options,
      ...more,
    });
  return {
    store: await reopen(),
    directory: directory.path,
    pool,
    evicted,
    reopen,
    [Symbol.asyncDispose]: () => directory[Symbol.asyncDispose](),
  };
}

/** Every file and link below a directory, as sorted paths relative to it. */
export async function filesIn(directory: string, below = ''): Promise<string[]> {
  const entries = await readdir(join(directory, below), { withFileTypes: true });
  const paths = entries.map(async (entry) => {
    const path = join(below, entry.name);
    return entry.isDirectory() ? await filesIn(directory, path) : [path];
  });
  return (await Promise.all(paths)).flat().toSorted();
}
