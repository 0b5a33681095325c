import type { Digest } from '../oci/digest.ts';
import type { OciError } from '../oci/error.ts';
import type { ByteRange } from '../oci/range.ts';
import type { Chunks } from './chunk.ts';

/**
 * The life of content: *ingest* (a temporary file that nobody finds by digest) → *verified* (all bytes hashed, equal
 * to the digest) → *committed* (durable, then visible). Nothing that is not verified is ever visible, and nothing
 * visible ever changes: it is only evicted.
 */
export interface ContentStore {
  /** Size of committed content; undefined when it is not there. Does not count as use. */
  stat(digest: Digest): Promise<{ sizeBytes: number } | undefined>;

  /**
   * Committed content, protected from eviction until closed; undefined when it is not there (or turned out to be
   * damaged, in which case it is gone now).
   *
   * @throws OciError UNAVAILABLE when the storage cannot be read
   */
  open(digest: Digest): Promise<Content | undefined>;

  /**
   * Begins to take content in. Room for all of it is made first.
   *
   * @throws OciError UNAVAILABLE when there is no room, or the storage cannot be written; CORRUPT for no bytes under
   *   another digest than that of no bytes
   */
  ingest(digest: Digest, sizeBytes: number): Promise<Ingest>;

  /** Takes in content that is small enough to be in memory. @throws OciError CORRUPT, UNAVAILABLE */
  put(digest: Digest, bytes: Uint8Array): Promise<void>;

  /** Forgets content; who reads it now reads on. */
  delete(digest: Digest): Promise<void>;

  /** Everything that is committed, in no order. */
  list(): AsyncIterable<{ digest: Digest; sizeBytes: number }>;
}

/** Content that can be read: committed, or arriving. Dispose it when no more chunks are wanted. */
export interface Content extends AsyncDisposable {
  readonly digest: Digest;
  readonly sizeBytes: number;

  /**
   * The bytes of the range, in order. Of arriving content each byte is waited for, and the very last one until the
   * digest is verified, so that nobody receives a complete wrong body.
   *
   * @throws OciError CORRUPT when the content is not what its digest says; UNAVAILABLE when it stops arriving or the
   *   storage fails
   */
  chunks(range: ByteRange, options: { signal: AbortSignal }): Chunks;
}

/**
 * Content on its way in. It is sparse: bytes may come in any order and from several writers at once, and its readers
 * may wait anywhere. Disposing it before `commit` drops it; readers then fail with the reason given to `abort`.
 */
export interface Ingest extends AsyncDisposable {
  readonly digest: Digest;
  readonly sizeBytes: number;

  /** What ended it without a commit; before anybody has called `abort`: what the storage, or the bytes, did. */
  readonly failure: OciError | undefined;

  /**
   * Writes the pieces one after the other at `position`; they may be used again when the promise is settled. Bytes that
   * are there, or that another writer is writing, stay as they are.
   */
  write(position: number, pieces: readonly Uint8Array[]): Promise<void>;

  /** What has not been written yet within the range. */
  gaps(range: ByteRange): ByteRange[];

  /** Positions that readers wait for and that are not there yet. */
  wanted(): number[];

  /** A reader that follows while the content grows. @throws OciError UNAVAILABLE, or what failed it, after the end */
  follow(): Content;

  /** Waits for the verification of what was written, makes it durable and visible. @throws OciError CORRUPT, UNAVAILABLE */
  commit(): Promise<void>;

  /** Gives up: readers get the reason, the bytes are dropped. Does nothing after `commit`. */
  abort(reason: unknown): void;
}
