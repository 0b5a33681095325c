import { randomUUID } from 'node:crypto';
import type { IncomingMessage } from 'node:http';
import { once } from 'node:events';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Moods } from './origin-moods.ts';
import type { Exchange } from './origin-server.ts';

/** A blob on its way into an origin. */
export class OriginUpload {
  readonly id = randomUUID();
  readonly repository: string;
  readonly #pieces: Buffer[] = [];
  sizeBytes = 0;

  constructor(repository: string) {
    this.repository = repository;
  }

  add(piece: Buffer): void {
    this.#pieces.push(piece);
    this.sizeBytes += piece.length;
  }

  get bytes(): Buffer {
    return Buffer.concat(this.#pieces);
  }
}

/**
 * Reads a request's body, in the moods that concern it, and hands each piece on.
 *
 * @returns false when the connection was broken on purpose, or by the client; what came before has been handed on
 */
export async function receiveBody(
  { request, record, signal }: Exchange,
  mood: Moods,
  take: (piece: Buffer) => void,
): Promise<boolean> {
  const breakAt = Math.min(mood.breakBodyAt ?? Infinity, mood.stallBodyAt ?? Infinity);
  try {
    for (;;) {
      const piece = await read(request);
      if (!piece) return request.complete;
      const part = piece.subarray(0, Math.max(0, breakAt - record.receivedBytes));
      record.receivedBytes += part.length;
      if (part.length > 0) take(part);
      if (record.receivedBytes >= breakAt) {
        if (mood.breakBodyAt === breakAt) request.socket.resetAndDestroy();
        else await once(signal, 'abort');
        return false;
      }
      if (mood.readBytesPerSecond !== undefined) {
        await sleep((1000 * part.length) / mood.readBytesPerSecond, undefined, { signal });
      }
    }
  } catch {
    return false; // the client has gone, or the server stops
  }
}

/** Not more than the stream holds now, so that a slow reader is felt by who sends. */
async function read(request: IncomingMessage): Promise<Buffer | undefined> {
  for (;;) {
    const piece = request.read() as Buffer | null;
    if (piece) return piece;
    if (request.readableEnded || request.destroyed) return undefined;
    const events = ['readable', 'end', 'close', 'error'];
    const { promise, resolve } = Promise.withResolvers<undefined>();
    const wake = (): void => resolve(undefined);
    for (const event of events) request.once(event, wake);
    await promise;
    for (const event of events) request.off(event, wake);
  }
}
