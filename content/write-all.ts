import type { FileHandle } from 'node:fs/promises';

/** Writes pieces one after the other at a position. One `writev` may write less than it was given. */
export async function writeAll(file: FileHandle, position: number, pieces: readonly Uint8Array[]): Promise<void> {
  let at = position;
  let rest = cut(pieces, 0, Infinity);
  while (rest.length > 0) {
    const { bytesWritten } = await file.writev(rest, at);
    if (bytesWritten === 0) throw new Error('the disk takes no more bytes');
    at += bytesWritten;
    rest = cut(rest, bytesWritten, Infinity);
  }
}

/** The bytes from `start` up to `end` of all the pieces together, without empty ones. */
export function cut(pieces: readonly Uint8Array[], start: number, end: number): Uint8Array[] {
  let at = 0;
  return pieces.flatMap((piece) => {
    const part = piece.subarray(Math.max(0, start - at), Math.max(0, end - at));
    at += piece.length;
    return part.length > 0 ? [part] : [];
  });
}
