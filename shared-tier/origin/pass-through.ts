import { createHash } from 'node:crypto';
import { setTimeout as delay } from 'node:timers/promises';
import type { Chunk, Chunks } from '../../content/chunk.ts';
import { unlessAborted } from '../../content/unless-aborted.ts';
import { algorithmOf, hexOf } from '../../oci/digest.ts';
import { OciError } from '../../oci/error.ts';
import type { ByteRange } from '../../oci/range.ts';
import { type Right, firstAllowed } from '../right.ts';
import type { DownloadOptions } from './download.ts';
import type { BlobBody } from './registry-client.ts';

/** Broken connections in a row, without a byte between them, after which a read is given up. */
const BREAKS = 4;

export interface PassThroughOptions extends Omit<
  DownloadOptions,
  'expectedBytes' | 'sizeIfUntold' | 'repository' | 'credential'
> {
  /** Those that are good now, in the order in which they are tried. */
  readonly rights: () => readonly Right[];
  readonly sizeBytes: number;
  /** The bytes are not what the digest says. */
  readonly corrupt: (error: OciError) => void;
}

/**
 * Content that cannot be kept, straight from the origin: each reader has a request of its own there. The last byte is
 * given when all bytes have been hashed and are right: the reader's own if it reads all of them, else those of one
 * whole read that is made for nothing else, once for all who wait for it.
 */
export class PassThrough {
  readonly #options: PassThroughOptions;
  #verified: Promise<void> | undefined;

  constructor(options: PassThroughOptions) {
    this.#options = options;
  }

  /** As `Content.chunks`. */
  chunks(range: ByteRange, { signal }: { signal: AbortSignal }): Chunks {
    const { sizeBytes } = this.#options;
    if (range.end < sizeBytes) return unchecked(this.#pieces(range, signal));
    if (range.start === 0) return this.#whole(signal);
    const verified = this.#verify();
    verified.catch(() => undefined); // thrown when the last byte's turn comes
    return heldBack(this.#pieces(range, signal), range, () => unlessAborted(verified, signal));
  }

  #whole(signal: AbortSignal): Chunks {
    const { digest, sizeBytes, corrupt } = this.#options;
    const range = { start: 0, end: sizeBytes };
    const hash = createHash(algorithmOf(digest));
    const pieces = this.#pieces(range, signal);
    const hashed = async function* (): AsyncGenerator<Uint8Array> {
      for await (const piece of pieces) {
        hash.update(piece);
        yield piece;
      }
    };
    return heldBack(hashed(), range, async () => {
      if (hash.digest('hex') !== hexOf(digest)) {
        const error = new OciError('CORRUPT', 'the origin sent other bytes than the digest says');
        corrupt(error);
        throw error;
      }
      this.#verified = Promise.resolve();
    });
  }

  #verify(): Promise<void> {
    this.#verified ??= drain(this.#whole(this.#options.signal)).catch((error: unknown) => {
      this.#verified = undefined; // the next one tries again
      throw error;
    });
    return this.#verified;
  }

  /** The bytes of the range, over as many connections, one after the other, as it takes. */
  async *#pieces(range: ByteRange, signal: AbortSignal): AsyncGenerator<Uint8Array> {
    const { client, rights, digest, sizeBytes, pace, received } = this.#options;
    let position = range.start;
    let last: Uint8Array | undefined;
    for (let breaks = 0; position < range.end;) {
      const before = position;
      let body: BlobBody | undefined;
      try {
        const wantedRange = { start: position, end: range.end };
        let repository = '';
        body = await firstAllowed(rights(), ({ place, credential }) => {
          ({ repository } = place);
          return client.getBlob(place.repository, digest, wantedRange, {
            signal,
            credential,
            sizeIfUntold: async () => sizeBytes,
          });
        });
        if (body.sizeBytes !== sizeBytes) throw new OciError('UNAVAILABLE', 'the origin changed its mind on the size');
        let at = body.start;
        for await (const piece of body.pieces) {
          received(piece.length);
          await pace?.spend(piece.length, repository, signal);
          // An origin that ignores ranges sends what is before the range, and after it, as well.
          const wanted = piece.subarray(Math.max(0, position - at), Math.max(0, range.end - at));
          at += piece.length;
          position += wanted.length;
          if (position === range.end) {
            last = wanted;
            break;
          }
          if (wanted.length > 0) yield wanted;
        }
        if (position === before) throw new OciError('UNAVAILABLE', 'the origin sent no bytes');
      } catch (error) {
        signal.throwIfAborted();
        breaks = position > before ? 1 : breaks + 1;
        const failure = OciError.from(error);
        if (failure.code !== 'UNAVAILABLE' || breaks >= BREAKS) throw failure;
        await delay(50 * 2 ** breaks, undefined, { signal });
      } finally {
        body?.cancel();
      }
    }
    // The turn at the origin is over: what the last byte may have to wait for needs one.
    if (last) yield last;
  }
}

async function* unchecked(pieces: AsyncIterable<Uint8Array>): AsyncGenerator<Chunk> {
  for await (const piece of pieces) yield chunkOf(piece);
}

async function* heldBack(
  pieces: AsyncIterable<Uint8Array>,
  { start, end }: ByteRange,
  verified: () => Promise<void>,
): AsyncGenerator<Chunk> {
  let position = start;
  for await (const piece of pieces) {
    position += piece.length;
    if (position < end) {
      yield chunkOf(piece);
    } else {
      if (piece.length > 1) yield chunkOf(piece.subarray(0, -1));
      await verified();
      yield chunkOf(piece.subarray(-1));
    }
  }
}

function chunkOf(bytes: Uint8Array): Chunk {
  return { bytes, release: () => undefined };
}

async function drain(chunks: Chunks): Promise<void> {
  for await (const { release } of chunks) release();
}
