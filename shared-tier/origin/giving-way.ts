import { RetryLater } from './retry.ts';

/** Waiting for its client, all pauses together. Others wait for a connection for 20 s. */
const SLOW_MS = 3_000;
const LOOK_EVERY_MS = 250;

/** A body was broken off because it came too slowly for the only connection; it goes on when more of it is there. */
export class GaveWay extends RetryLater {
  constructor() {
    super('broken', new Error('the body came too slowly for the only connection'));
  }
}

/**
 * A body by the only connection for bodies: once it has waited for its client for too long, it leaves the connection to
 * others, if they want it. @throws GaveWay
 */
export async function* givingWay(
  pieces: AsyncIterable<Uint8Array>,
  isWanted: () => boolean,
): AsyncGenerator<Uint8Array, void, void> {
  const source = pieces[Symbol.asyncIterator]();
  const slow = Promise.withResolvers<never>();
  slow.promise.catch(() => undefined); // it may come to its end in time
  let waitedMs = 0;
  let waitsSinceMs: number | undefined;
  const looking = setInterval(() => {
    if (waitsSinceMs === undefined) return;
    const isSlow = waitedMs + performance.now() - waitsSinceMs >= SLOW_MS;
    if (isSlow && isWanted()) slow.reject(new GaveWay());
  }, LOOK_EVERY_MS);
  try {
    for (;;) {
      waitsSinceMs = performance.now();
      const next = source.next();
      next.catch(() => undefined); // once it has given way, nobody waits for it
      const { done, value } = await Promise.race([next, slow.promise]);
      waitedMs += performance.now() - waitsSinceMs;
      waitsSinceMs = undefined;
      if (done === true) return;
      yield value;
    }
  } finally {
    clearInterval(looking);
    source.return?.().catch(() => undefined); // not waited for: what comes next may take its time
  }
}
