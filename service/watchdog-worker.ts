import { write } from 'node:fs';
import { workerData } from 'node:worker_threads';

/** What the worker is told when it starts. */
export interface WatchdogData {
  /** One number that the watched thread changes, and wakes the worker with, once a turn. */
  readonly beat: Int32Array;
  readonly turnMs: number;
  /** Turns in a row without a beat after which the process ends. */
  readonly turns: number;
}

const LAST_WORDS_MS = 500;

if (workerData) watch(workerData as WatchdogData);

/**
 * Waits for beats, and ends the process when they do not come. Turns are counted, not time: when the whole process was
 * stopped and goes on, one turn has passed for both threads.
 */
function watch({ beat, turnMs, turns }: WatchdogData): void {
  for (let missed = 0; missed < turns;) {
    const isMissed = Atomics.wait(beat, 0, Atomics.load(beat, 0), turnMs) === 'timed-out';
    missed = isMissed ? missed + 1 : 0;
  }
  const line = `the event loop did not turn for ${(turns * turnMs) / 1000} s: the process ends, to be started again\n`;
  // An orderly end needs the event loop. Standard error may be what blocks: the end does not wait for it.
  write(2, line, end);
  setTimeout(end, LAST_WORDS_MS);
}

function end(): void {
  process.kill(process.pid, 'SIGKILL');
}
