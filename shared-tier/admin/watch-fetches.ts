import { setTimeout as delay } from 'node:timers/promises';
import type { WatchFetchesResponse } from '../../proto/generated/circ/v1/WatchFetchesResponse.ts';
import type { FetchReport } from '../fetches.ts';
import type { AnswerStream } from './answer-stream.ts';

const MAX_FETCHES = 100;
const EVERY_MS = 1_000;
/** Who may watch is asked when a watch begins; so it ends, and whoever still may begins another. */
const WATCH_MS = 60_000;

/** Tells what is under way, again and again for a while. Rejects with the stream's reason. */
export async function watchFetches(
  fetches: { list(): Iterable<FetchReport> },
  stream: AnswerStream<WatchFetchesResponse>,
  watchMs = WATCH_MS,
): Promise<void> {
  const endMs = performance.now() + watchMs;
  while (performance.now() < endMs) {
    const all = [...fetches.list()];
    const told = all.slice(0, MAX_FETCHES).map(({ place, digest, sizeBytes, receivedBytes, waiters, ageMs }) => ({
      ...place,
      digest,
      size: sizeBytes,
      received: receivedBytes,
      waiters,
      ageMs: Math.round(ageMs),
    }));
    await stream.send({ fetches: told, total: all.length });
    await delay(EVERY_MS, undefined, stream);
  }
}
