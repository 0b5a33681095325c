/**
 * A piece of content on its way. Whoever takes it out of a stream owns it and calls `release` once it has been
 * copied or written, because its memory is used again.
 */
export interface Chunk {
  readonly bytes: Uint8Array;
  readonly release: () => void;
}

/** Content in order, in pieces. Ending early (`break`) frees what the source holds. */
export type Chunks = AsyncIterable<Chunk>;
