import type { BufferPool } from '../content/buffer-pool.ts';
import type { Chunk, Chunks } from '../content/chunk.ts';
import type { Digest } from '../oci/digest.ts';
import { OciError } from '../oci/error.ts';
import type { ByteRange } from '../oci/range.ts';
import type { Grants, Place } from './grants.ts';
import type { ConnectTier } from './tier-connect.ts';
import type { TierBlob, TierClient } from './tier-client.ts';
import { openTierRead } from './tier-read.ts';

export interface RelayOptions {
  readonly tier: TierClient;
  readonly grants: Grants;
  readonly pool: BufferPool;
  /** How reads are connected; plain if absent. */
  readonly connect?: ConnectTier | undefined;
}

/** A blob that the tier has said may be read, and where. */
export interface RelayedBlob {
  readonly place: Place;
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
  async locate(place: Place, digest: Digest, { statOnly }: { statOnly: boolean }): Promise<TierBlob> {
    const { tier, grants } = this.#options;
    const blob = await tier.openBlob(place, digest, { grant: grants.token(place), statOnly });
    const descriptor = { mediaType: 'application/octet-stream', digest, sizeBytes: blob.sizeBytes };
    grants.learn(place, blob.grant, [descriptor]);
    return blob;
  }

  /** Begins to read; settles when the tier has answered, so that the caller can still say 503. @throws OciError */
  async open(blob: RelayedBlob, range: ByteRange, signal: AbortSignal): Promise<Chunks & Disposable> {
    const first = await this.#read(blob, range, signal);
    const chunks = this.#resuming(blob, range, signal, first);
    return { [Symbol.asyncIterator]: () => chunks, [Symbol.dispose]: () => first[Symbol.dispose]() };
  }

  async *#resuming(
    { place, digest, located }: RelayedBlob,
    range: ByteRange,
    signal: AbortSignal,
    first: Chunks,
  ): AsyncGenerator<Chunk, void, void> {
    let position = range.start;
    let chunks: Chunks | undefined = first;
    for (let breaks = 0; position < range.end;) {
      const before = position;
      try {
        chunks ??= await this.#resume(place, digest, located.sizeBytes, { start: position, end: range.end }, signal);
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

  async #resume(
    place: Place,
    digest: Digest,
    sizeBytes: number,
    range: ByteRange,
    signal: AbortSignal,
  ): Promise<Chunks> {
    const located = await this.locate(place, digest, { statOnly: false });
    if (located.sizeBytes !== sizeBytes) throw new OciError('CORRUPT', 'the content has changed its size');
    return await this.#read({ place, digest, located }, range, signal);
  }

  async #read({ located }: RelayedBlob, range: ByteRange, signal: AbortSignal): Promise<Chunks & Disposable> {
    if (!located.readUrl) throw new OciError('UNAVAILABLE', 'the shared tier gave no usable answer');
    if (range.start === range.end) return NOTHING;
    const { pool, connect } = this.#options;
    return await openTierRead(located.readUrl, range, { pool, connect, signal });
  }
}

const NOTHING: Chunks & Disposable = {
  // oxlint-disable-next-line no-empty-function -- the chunks of no bytes
  async *[Symbol.asyncIterator]() {},
  [Symbol.dispose]: () => undefined,
};
