import { freePiece } from '../../content/free-piece.ts';

/** Length of one block; and of the largest piece that is read. */
const BLOCK_BYTES = 256 * 1024;

/** Bytes of one block that are needed still. */
interface Filled {
  readonly start: number;
  readonly block: Buffer;
  sizeBytes: number;
}

/**
 * The bytes of a stream that have come and are needed still, in blocks that are used again. Node gives each piece that it
 * reads memory of its own, up to 64 KiB; left to the garbage collector, they cost more time than all else that a push needs.
 */
export class Backlog {
  #start: number;
  #end: number;
  readonly #filled: Filled[] = [];
  readonly #idle: Buffer[] = [];

  /** @param start position of the first byte */
  constructor(start: number) {
    this.#start = start;
    this.#end = start;
  }

  /** End of what has come. */
  get end(): number {
    return this.#end;
  }

  /** Takes a piece: it is copied, and its memory given back if it is its own. */
  add(piece: Buffer): void {
    for (let rest = piece; rest.length > 0;) {
      const { block, sizeBytes } = this.#last();
      const taken = rest.copy(block, sizeBytes);
      this.#last().sizeBytes += taken;
      this.#end += taken;
      rest = rest.subarray(taken);
    }
    freePiece(piece);
  }

  /** Some of the bytes from `from` on, of those before `to`: good until they are forgotten. Undefined when there are none. */
  read(from: number, to: number): Buffer | undefined {
    if (from < this.#start || from >= to) return undefined;
    const found = this.#filled.find(({ start, sizeBytes }) => from < start + sizeBytes);
    return found?.block.subarray(from - found.start, Math.min(to - found.start, found.sizeBytes));
  }

  /** The bytes before `to` are not needed any more. */
  forget(to: number): void {
    this.#start = Math.max(this.#start, to);
    for (let [first] = this.#filled; first && first.start + BLOCK_BYTES <= to; [first] = this.#filled) {
      this.#filled.shift();
      this.#idle.push(first.block);
    }
  }

  /** The block that is being filled. */
  #last(): Filled {
    const last = this.#filled.at(-1);
    if (last && last.sizeBytes < BLOCK_BYTES) return last;
    const block = this.#idle.pop() ?? Buffer.allocUnsafeSlow(BLOCK_BYTES);
    const next = { start: this.#end, block, sizeBytes: 0 };
    this.#filled.push(next);
    return next;
  }
}
