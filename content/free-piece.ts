/**
 * Gives the memory of a piece that was read from a socket back now. Node, and undici, make a new one of up to 64 KiB for each
 * read, and the collector would let some 80 MB of them lie about. Only a piece that is all there is in its memory is freed:
 * beside it there may be the beginning of the next one.
 */
export function freePiece({ buffer, byteLength }: Uint8Array): void {
  if (buffer instanceof ArrayBuffer && byteLength === buffer.byteLength) buffer.transfer(0);
}
