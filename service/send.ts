import type { ServerResponse } from 'node:http';
import type { Chunk, Chunks } from '../content/chunk.ts';
import { OciError } from '../oci/error.ts';

/** Chunks handed to the socket and not yet taken by the kernel: one is being sent while the next is read. */
const WINDOW = 2;

/**
 * Sends a body whose headers are out already, and ends the response. When the body breaks, the connection does too,
 * because the client must not take it for whole: by FIN when bytes stopped coming (containerd resumes with Range), by
 * RST when they are wrong (containerd must not resume).
 *
 * @throws OciError what broke the body; a client that hangs up is no error
 */
export async function sendChunks(
  response: ServerResponse,
  chunks: Chunks,
  sent: (bytes: number) => void,
): Promise<void> {
  const outstanding = new Set<Chunk>();
  let wake: (() => void) | undefined;
  const taken = (chunk: Chunk): void => {
    outstanding.delete(chunk);
    chunk.release();
    wake?.();
  };
  // After 'close' nothing reads the buffers any more, whatever became of the write's callbacks.
  response.once('close', () => [...outstanding].forEach(taken));
  try {
    for await (const chunk of chunks) {
      if (response.destroyed) {
        chunk.release();
        return;
      }
      outstanding.add(chunk);
      response.write(chunk.bytes, () => taken(chunk));
      sent(chunk.bytes.length);
      while (outstanding.size >= WINDOW) {
        await new Promise<void>((resolve) => {
          wake = resolve;
        });
      }
    }
    response.end();
  } catch (reason) {
    if (response.destroyed) return; // the client hung up, and its signal ended the source
    const error = OciError.from(reason);
    if (error.code === 'CORRUPT') response.socket?.resetAndDestroy();
    else response.destroy();
    throw error;
  }
}
