import { createCipheriv, createHash } from 'node:crypto';
import { setImmediate as nextTurn } from 'node:timers/promises';
import { parseDigest, type Algorithm, type Digest } from '../../oci/digest.ts';

/** Bytes of a known size that can be produced from any offset, as often as needed. */
export interface Bytes {
  readonly sizeBytes: number;
  /**
   * The bytes from `start` up to, not including, `end`, in order, in pieces of at most `PIECE_BYTES`.
   * The pieces may be views of shared memory: read them, never write into them.
   */
  pieces(start: number, end: number): Iterable<Buffer>;
}

/** What an origin can serve as a blob. */
export interface BlobSource extends Bytes {
  /** Of all the bytes, sha256 unless said; computed once, by streaming, without holding up the event loop. */
  digest(algorithm?: Algorithm): Promise<Digest>;
}

/** The largest piece a source hands out: small enough that a slow reader's socket holds little. */
export const PIECE_BYTES = 256 * 1024;

const BLOCK_BYTES = 1024 * 1024;
const STAMP_BYTES = 16;

/**
 * A blob of `sizeBytes` pseudo-random, incompressible bytes that are never in memory as a whole: one random block,
 * repeated, each repetition beginning with its own index. So two blocks never equal each other, and bytes delivered
 * at a wrong offset are always noticed. The same size and seed give the same bytes in every process.
 */
export function generatedBlob(sizeBytes: number, seed = 0): BlobSource {
  const key = createHash('sha256').update(`circ ${seed}`).digest();
  const block = createCipheriv('aes-256-ctr', key, Buffer.alloc(16)).update(
    Buffer.alloc(Math.min(BLOCK_BYTES, sizeBytes)),
  );
  return withDigest({
    sizeBytes,
    *pieces(start, end) {
      let at = start;
      while (at < end) {
        const index = Math.floor(at / BLOCK_BYTES);
        const offset = at % BLOCK_BYTES;
        const left = end - at;
        const piece =
          offset < STAMP_BYTES
            ? stamp(index, seed).subarray(offset, Math.min(STAMP_BYTES, offset + left))
            : block.subarray(offset, Math.min(BLOCK_BYTES, offset + left, offset + PIECE_BYTES));
        yield piece;
        at += piece.byteLength;
      }
    },
  });
}

/** A blob of bytes in memory. */
export function bytesBlob(bytes: Uint8Array): BlobSource {
  const buffer = Buffer.from(bytes);
  return withDigest({
    sizeBytes: buffer.byteLength,
    *pieces(start, end) {
      for (let at = start; at < end; at += PIECE_BYTES) yield buffer.subarray(at, Math.min(end, at + PIECE_BYTES));
    },
  });
}

/** The same bytes but for the one at `offset`, all of whose bits are turned over. */
export function withFlippedByte(bytes: Bytes, offset: number): Bytes {
  return {
    sizeBytes: bytes.sizeBytes,
    *pieces(start, end) {
      let at = start;
      for (const piece of bytes.pieces(start, end)) {
        const inside = offset - at;
        at += piece.byteLength;
        if (inside < 0 || inside >= piece.byteLength) {
          yield piece;
        } else {
          const copy = Buffer.from(piece);
          copy[inside] = 0xff ^ (piece[inside] ?? 0);
          yield copy;
        }
      }
    },
  };
}

/** The same bytes cut to `sizeBytes`, or followed by zeros up to it. */
export function withSize(bytes: Bytes, sizeBytes: number): Bytes {
  return {
    sizeBytes,
    *pieces(start, end) {
      const real = Math.min(end, bytes.sizeBytes);
      if (start < real) yield* bytes.pieces(start, real);
      for (let at = Math.max(start, real); at < end; at += PIECE_BYTES) {
        yield Buffer.alloc(Math.min(PIECE_BYTES, end - at));
      }
    },
  };
}

/** A part of a source as one buffer: what a test compares an answer with. Not for large parts. */
export function readBytes(bytes: Bytes, start = 0, end = bytes.sizeBytes): Buffer {
  return Buffer.concat([...bytes.pieces(start, end)]);
}

function stamp(index: number, seed: number): Buffer {
  const bytes = Buffer.alloc(STAMP_BYTES);
  bytes.writeBigUInt64BE(BigInt(index));
  bytes.writeDoubleBE(seed, 8);
  return bytes;
}

function withDigest(bytes: Bytes): BlobSource {
  const known = new Map<Algorithm, Promise<Digest>>();
  return {
    ...bytes,
    digest(algorithm = 'sha256') {
      const running = known.get(algorithm) ?? digestOf(bytes, algorithm);
      known.set(algorithm, running);
      return running;
    },
  };
}

async function digestOf(bytes: Bytes, algorithm: Algorithm): Promise<Digest> {
  const hash = createHash(algorithm);
  let count = 0;
  for (const piece of bytes.pieces(0, bytes.sizeBytes)) {
    hash.update(piece);
    // A blob of gigabytes takes seconds; the servers of the same test live in this process.
    if (++count % 64 === 0) await nextTurn();
  }
  return parseDigest(`${algorithm}:${hash.digest('hex')}`);
}
