import type { BufferPool } from '../content/buffer-pool.ts';
import type { Chunk, Chunks } from '../content/chunk.ts';
import type { Digest } from '../oci/digest.ts';
import { OciError } from '../oci/error.ts';
import type { ByteRange } from '../oci/range.ts';
import type { Caller, CallersGrants } from './grants.ts';
import type { TierBlob, TierClient } from './tier-client.ts';
import { openTierRead } from './tier-read.ts';

export interface RelayOptions {
  readonly tier: TierClient;
  readonly pool: BufferPool;
}

/** On whose behalf a blob is read: it is asked for again when a read breaks. */
export interface Reader {
  readonly caller: Caller;
  readonly grants: CallersGrants;
}

/** A blob that the tier has said this reader may read, and where. */
export interface RelayedBlob extends Reader {
  readonly digest: Digest;
  readonly located: TierBlob;
}

/** Breaks in a row, without a byte between them, after which a body is given up. */
const BREAKS = 3;

/** Reads blobs from the shared tier, and goes on where a read broke. */
export class Relay {
  readonly #options: RelayOptions;

  constructor(options: RelayOptions) {
    this.#options = options;
  }

  /** Asks the tier where the blob can be read, and learns what it allows. @throws OciError what the tier says */
  async locate({ caller, grants }: Reader, digest: Digest, { statOnly }: { statOnly: boolean }): Promise<TierBlob> {
    const blob = await this.#options.tier.openBlob(caller, digest, { grant: grants.token, statOnly });
    const descriptor = { mediaType: 'application/octet-stream', digest, sizeBytes: blob.sizeBytes };
    grants.learn(blob.grant, [descriptor]);
    return blob;
  }

  /** Begins to read; settles when the tier has answered, so that the caller can still say 503. @throws OciError */
  async open(blob: RelayedBlob, range: ByteRange, signal: AbortSignal): Promise<Chunks & Disposable> {
    const first = await this.#read(blob, range, signal).catch(async (error: unknown) => {
      // The right to this read has just ended, or the content has gone: the tier says what is true now.
      if (OciError.from(error).code !== 'BLOB_UNKNOWN') throw error;
      return await this.#resume(blob, range, signal);
    });
    const chunks = this.#resuming(blob, range, signal, first);
    return { [Symbol.asyncIterator]: () => chunks, [Symbol.dispose]: () => first[Symbol.dispose]() };
  }

  async *#resuming(
    blob: RelayedBlob,
    range: ByteRange,
    signal: AbortSignal,
    first: Chunks,
  ): AsyncGenerator<Chunk, void, void> {
    let position = range.start;
    let chunks: Chunks | undefined = first;
    for (let breaks = 0; position < range.end;) {
      const before = position;
      try {
        chunks ??= await this.#resume(blob, { start: position, end: range.end }, signal);
        for await (const chunk of chunks) {
          position += chunk.bytes.length;
          yield chunk;
        }
      } catch (error) {
        breaks = position > before ? 1 : breaks + 1;
        const { code } = OciError.from(error);
        const isBroken = code === 'UNAVAILABLE' || code === 'BLOB_UNKNOWN';
        if (signal.aborted || !isBroken || breaks >= BREAKS) throw error;
      }
      chunks = undefined;
    }
  }

  async #resume(blob: RelayedBlob, range: ByteRange, signal: AbortSignal): Promise<Chunks & Disposable> {
    const located = await this.locate(blob, blob.digest, { statOnly: false });
    if (located.sizeBytes !== blob.located.sizeBytes) throw new OciError('CORRUPT', 'the content has changed its size');
    return await this.#read({ ...blob, located }, range, signal);
  }

  async #read({ located }: RelayedBlob, range: ByteRange, signal: AbortSignal): Promise<Chunks & Disposable> {
    if (!located.readUrl) throw new OciError('UNAVAILABLE', 'the shared tier gave no usable answer');
    if (range.start === range.end) return NOTHING;
    return await openTierRead(located.readUrl, range, { pool: this.#options.pool, signal });
  }
}

const NOTHING: Chunks & Disposable = {
  // oxlint-disable-next-line no-empty-function -- the chunks of no bytes
  async *[Symbol.asyncIterator]() {},
  [Symbol.dispose]: () => undefined,
};
