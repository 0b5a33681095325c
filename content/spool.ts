import type { Digest } from '../oci/digest.ts';
import type { ByteRange } from '../oci/range.ts';
import type { Chunks } from './chunk.ts';

/**
 * Content on its way in of which nobody knows yet how long it is, or what its digest will be. Nobody finds it until it is
 * committed; disposing it before drops it. Its parts follow each other: only the end grows, or is cut off.
 */
export interface Spool extends AsyncDisposable {
  /** What it holds now. */
  readonly sizeBytes: number;

  /** Writes the pieces at the end. @throws OciError UNAVAILABLE when there is no room, or the storage cannot be written */
  append(pieces: readonly Uint8Array[]): Promise<void>;

  /** Begins to make durable what it holds now, so that `commit` has less to wait for. Nothing waits for it, and it never fails. */
  settle(): void;

  /** Forgets what lies behind this position. */
  truncate(sizeBytes: number): void;

  /** Bytes that it holds now. */
  chunks(range: ByteRange, options: { signal: AbortSignal }): Chunks;

  /**
   * Verifies all of it, makes it durable and visible under this digest; that ends the spool.
   *
   * @throws OciError CORRUPT when the bytes do not have this digest; UNAVAILABLE
   */
  commit(digest: Digest): Promise<void>;
}

/** Where content can be spooled, to be part of a store in the end. */
export interface Spools {
  /** @throws OciError UNAVAILABLE */
  spool(): Promise<Spool>;
}
