import type { Chunks } from '../../content/chunk.ts';
import type { DiskStore } from '../../content/disk-store.ts';
import type { Content, Ingest } from '../../content/store.ts';
import type { Digest } from '../../oci/digest.ts';
import { OciError } from '../../oci/error.ts';
import type { ByteRange } from '../../oci/range.ts';
import { SINGLE_REQUEST_BYTES, Segments } from '../origin/segments.ts';

export interface SpoolFillsOptions {
  readonly spool: DiskStore;
  /** A part of content in the bucket. */
  readonly read: (digest: Digest, sizeBytes: number, range: ByteRange, signal: AbortSignal) => Chunks;
  /** What the bucket gave is not what the digest says. */
  readonly corrupt: (digest: Digest) => Promise<void>;
  readonly failed: (error: OciError) => void;
}

/** What takes more of the spool than this would push too much else out of it. */
const MAX_PART = 1 / 4;
/** Connections for one large copy: a bucket gives some 80 MB/s over each. */
const PARALLEL = 4;

/**
 * Copies of hot content from the bucket into the spool. Who wants it meanwhile reads along: one request for all, or, of large
 * content, one for each of its segments, several at once, in the order in which readers want them.
 */
export class SpoolFills implements AsyncDisposable {
  readonly #options: SpoolFillsOptions;
  readonly #running = new Map<Digest, { readonly ingest: Ingest; readonly ended: Promise<void> }>();
  readonly #stop = new AbortController();

  constructor(options: SpoolFillsOptions) {
    this.#options = options;
  }

  /** A reader of a copy under way, if there is one. */
  follow(digest: Digest): Content | undefined {
    try {
      return this.#running.get(digest)?.ingest.follow();
    } catch {
      return undefined; // it has just ended, well or not
    }
  }

  /** Begins a copy, or joins one. Undefined when the spool cannot take it. */
  async start(digest: Digest, sizeBytes: number): Promise<Content | undefined> {
    const { spool, failed } = this.#options;
    const copied = this.follow(digest) ?? (await spool.open(digest).catch(() => undefined));
    if (copied || sizeBytes > spool.usage.capacityBytes * MAX_PART) return copied;
    let ingest: Ingest;
    try {
      ingest = await spool.ingest(digest, sizeBytes);
    } catch (error) {
      failed(OciError.from(error));
      return undefined;
    }
    const other = this.follow(digest); // began while the spool made room
    if (other) {
      await ingest[Symbol.asyncDispose]();
      return other;
    }
    const content = ingest.follow();
    const ended = this.#fill(ingest).finally(() => this.#running.delete(digest));
    this.#running.set(digest, { ingest, ended });
    return content;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#stop.abort(new OciError('UNAVAILABLE', 'the shared tier stops'));
    await Promise.all([...this.#running.values()].map(({ ended }) => ended));
  }

  async #fill(ingest: Ingest): Promise<void> {
    const { digest } = ingest;
    const { corrupt, failed } = this.#options;
    try {
      await this.#copy(ingest);
      await ingest.commit();
    } catch (error) {
      const failure = OciError.from(error);
      ingest.abort(failure);
      failed(failure);
      if (failure.code === 'CORRUPT') await corrupt(digest).catch((reason: unknown) => failed(OciError.from(reason)));
    } finally {
      // Not waited for: it ends with its last reader.
      void ingest[Symbol.asyncDispose]();
    }
  }

  async #copy(ingest: Ingest): Promise<void> {
    const { sizeBytes } = ingest;
    const failed = new AbortController();
    const signal = AbortSignal.any([this.#stop.signal, failed.signal]);
    if (sizeBytes <= SINGLE_REQUEST_BYTES) return await this.#copyRange(ingest, { start: 0, end: sizeBytes }, signal);
    const segments = new Segments(0, sizeBytes);
    const copies = Array.from({ length: PARALLEL }, async () => {
      for (let range = segments.next(ingest.wanted()); range; range = segments.next(ingest.wanted())) {
        await this.#copyRange(ingest, range, signal);
      }
    });
    try {
      await Promise.all(copies);
    } finally {
      failed.abort(new OciError('UNAVAILABLE', 'another part of it failed'));
      await Promise.allSettled(copies); // nobody writes any more
    }
  }

  async #copyRange(ingest: Ingest, range: ByteRange, signal: AbortSignal): Promise<void> {
    const { digest, sizeBytes } = ingest;
    let position = range.start;
    for await (const { bytes, release } of this.#options.read(digest, sizeBytes, range, signal)) {
      try {
        await ingest.write(position, [bytes]);
        position += bytes.length;
      } finally {
        release();
      }
    }
  }
}
