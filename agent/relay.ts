import type { BufferPool } from '../content/buffer-pool.ts';
import type { Chunk, Chunks } from '../content/chunk.ts';
import type { Digest } from '../oci/digest.ts';
import { OciError } from '../oci/error.ts';
import type { ByteRange } from '../oci/range.ts';
import type { Caller, CallersGrants } from './grants.ts';
import type { ReadPeer } from '../service/range-read.ts';
import type { TierBlob, TierQuestions } from './tier-client.ts';
import type { Connect } from '../service/read-connection.ts';
import { openTierRead } from './tier-read.ts';

export interface RelayOptions {
  readonly tier: TierQuestions;
  /** Who serves a URL of the tier's; a read of an unknown one has only its own limits. */
  readonly peerOf?: (readUrl: URL) => ReadPeer | undefined;
  readonly pool: BufferPool;
  /** How reads are connected; plain if absent. */
  readonly connect?: Connect | undefined;
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

  /**
   * Asks the tier where the blob can be read, and learns what it allows. What is still to come from the registry is not
   * learnt as readable: the node may have the same bytes of another registry, which tell nothing of what this one has.
   *
   * @throws OciError what the tier says
   */
  async locate({ caller, grants }: Reader, digest: Digest, { statOnly }: { statOnly: boolean }): Promise<TierBlob> {
    const blob = await this.#options.tier.openBlob(caller, digest, { grant: grants.token, statOnly });
    const descriptor = { mediaType: 'application/octet-stream', digest, sizeBytes: blob.sizeBytes };
    grants.learn(blob.grant, blob.fromOrigin ? [] : [descriptor]);
    return blob;
  }

  /** Begins to read; settles when the tier has answered, so that the caller can still say 503. @throws OciError */
  async open(blob: RelayedBlob, range: ByteRange, signal: AbortSignal): Promise<Chunks & Disposable> {
    if (!blob.located.readUrl) throw unusable();
    const breaks = new Breaks(signal);
    const first = await this.#begin(blob, range, breaks, blob.located);
    const chunks = this.#resuming(blob, range, breaks, first);
    return { [Symbol.asyncIterator]: () => chunks, [Symbol.dispose]: () => first[Symbol.dispose]() };
  }

  async *#resuming(
    blob: RelayedBlob,
    range: ByteRange,
    breaks: Breaks,
    first: Chunks,
  ): AsyncGenerator<Chunk, void, void> {
    let position = range.start;
    for (let chunks = first; ;) {
      try {
        for await (const chunk of chunks) {
          position += chunk.bytes.length;
          breaks.progress();
          yield chunk;
        }
        return;
      } catch (error) {
        breaks.count(error);
      }
      chunks = await this.#begin(blob, { start: position, end: range.end }, breaks);
    }
  }

  /** Begins to read where the blob was located; if that is not known or fails, where the tier says then. */
  async #begin(blob: RelayedBlob, range: ByteRange, breaks: Breaks, located?: TierBlob): Promise<Chunks & Disposable> {
    for (let at = located; ; at = undefined) {
      try {
        at ??= await this.#locateAgain(blob);
        return await this.#read(at, range, breaks.signal);
      } catch (error) {
        breaks.count(error);
      }
    }
  }

  async #locateAgain(blob: RelayedBlob): Promise<TierBlob> {
    const again = await this.locate(blob, blob.digest, { statOnly: false });
    if (again.sizeBytes !== blob.located.sizeBytes) throw new OciError('CORRUPT', 'the content has changed its size');
    return again;
  }

  async #read({ readUrl }: TierBlob, range: ByteRange, signal: AbortSignal): Promise<Chunks & Disposable> {
    if (!readUrl) throw unusable();
    if (range.start === range.end) return NOTHING;
    const { pool, peerOf, connect } = this.#options;
    return await openTierRead(readUrl, range, { pool, connect, signal, peer: peerOf?.(readUrl) });
  }
}

/** Counts what broke since the last byte, and says when it is enough. */
class Breaks {
  readonly signal: AbortSignal;
  #count = 0;

  constructor(signal: AbortSignal) {
    this.signal = signal;
  }

  progress(): void {
    this.#count = 0;
  }

  /** @throws the error, unless it is worth another attempt */
  count(error: unknown): void {
    this.#count += 1;
    const { code } = OciError.from(error);
    const isBroken = code === 'UNAVAILABLE' || code === 'BLOB_UNKNOWN';
    if (this.signal.aborted || !isBroken || this.#count >= BREAKS) throw error;
  }
}

function unusable(): OciError {
  return new OciError('UNAVAILABLE', 'the shared tier gave no usable answer');
}

/** The chunks of no bytes. */
export const NOTHING: Chunks & Disposable = {
  // oxlint-disable-next-line no-empty-function -- the chunks of no bytes
  async *[Symbol.asyncIterator]() {},
  [Symbol.dispose]: () => undefined,
};
