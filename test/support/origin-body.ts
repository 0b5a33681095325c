import { once } from 'node:events';
import type { Socket } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Bytes } from './blobs.ts';
import type { Moods } from './origin-moods.ts';
import type { Exchange } from './origin-server.ts';

/** Before an RST: what was sent just before is lost to a client whose kernel has not taken it yet. */
const SETTLE_MS = 20;

/** Writes a body from `start` to `end` at the reader's pace, in the moods that concern bodies, and ends the answer. */
export async function sendBody(exchange: Exchange, bytes: Bytes, start: number, end: number, mood: Moods) {
  const breakAt = Math.min(mood.truncateAt ?? Infinity, mood.resetAt ?? Infinity, mood.stallAt ?? Infinity);
  const isBroken = breakAt < end - start;
  // Headers go out even if no byte of the body follows.
  exchange.response.flushHeaders();
  await write(exchange, bytes, start, isBroken ? start + breakAt : end, mood);
  if (isBroken) return breakOff(exchange, breakAt, mood);
  if (mood.overrun === undefined) {
    exchange.response.end();
  } else {
    // Past the answer as HTTP frames it: these bytes are on the connection where the next answer should begin.
    exchange.response.end();
    exchange.request.socket.write(Buffer.alloc(mood.overrun, 'x'));
  }
}

async function breakOff({ request, signal }: Exchange, breakAt: number, mood: Moods): Promise<void> {
  if (mood.truncateAt === breakAt) {
    request.socket.destroySoon();
  } else if (mood.resetAt === breakAt) {
    await sleep(SETTLE_MS, undefined, { signal });
    request.socket.resetAndDestroy();
  }
  // Else it is a stall: the connection stays as it is until the client or the test ends it.
}

async function write(
  { request, response, record, signal }: Exchange,
  bytes: Bytes,
  start: number,
  end: number,
  mood: Moods,
) {
  const pace = paceOf(request.socket, mood.bytesPerSecondPerConnection);
  for (const piece of bytes.pieces(start, end)) {
    for (const slice of slicesOf(piece, pace?.sliceBytes ?? piece.byteLength)) {
      await pace?.wait(slice.byteLength, signal);
      signal.throwIfAborted();
      record.bodyBytes += slice.byteLength;
      if (!response.write(slice)) await once(response, 'drain', { signal });
    }
  }
}

function* slicesOf(piece: Buffer, sliceBytes: number): Iterable<Buffer> {
  for (let at = 0; at < piece.byteLength; at += sliceBytes) yield piece.subarray(at, at + sliceBytes);
}

/** How much a writer may catch up after it was held up: by a late timer, by the reader, by having had nothing to do. */
const CREDIT_MS = 50;

/** Spreads bytes over time at a constant rate. */
class Pace {
  readonly sliceBytes: number;
  readonly #bytesPerMs: number;
  #freeAt = performance.now();

  constructor(bytesPerSecond: number) {
    this.#bytesPerMs = bytesPerSecond / 1000;
    // 10 ms' worth: fine enough to look steady, coarse enough for timers.
    this.sliceBytes = Math.max(1, Math.ceil(this.#bytesPerMs * 10));
  }

  /** Waits until `count` bytes may go. */
  async wait(count: number, signal: AbortSignal): Promise<void> {
    const now = performance.now();
    this.#freeAt = Math.max(now - CREDIT_MS, this.#freeAt) + count / this.#bytesPerMs;
    const waitMs = this.#freeAt - now;
    // Timers are at best exact to the millisecond; the rest is carried to the next slice.
    if (waitMs >= 1) await sleep(waitMs, undefined, { signal });
  }
}

const paces = new WeakMap<Socket, { bytesPerSecond: number; pace: Pace }>();

function paceOf(socket: Socket, bytesPerSecond: number | undefined): Pace | undefined {
  if (bytesPerSecond === undefined) return undefined;
  const known = paces.get(socket);
  if (known?.bytesPerSecond === bytesPerSecond) return known.pace;
  const pace = new Pace(bytesPerSecond);
  paces.set(socket, { bytesPerSecond, pace });
  return pace;
}
