import { Worker } from 'node:worker_threads';
import type { WatchdogData } from './watchdog-worker.ts';

export interface WatchdogOptions {
  /** The watchdog itself has ended; nobody watches any more. */
  readonly failed: (reason: unknown) => void;
  /** A beat is due each. */
  readonly turnMs?: number;
  /** Turns without a beat after which the process is killed. */
  readonly turns?: number;
}

/**
 * Ends the process (SIGKILL, one line on standard error) when its event loop stands still for 5 seconds, so that its
 * supervisor starts it again: a mirror that accepts connections and says nothing holds containerd up for 30 s a request,
 * old ones for ever, where one that is gone costs nothing.
 *
 * Costs a wake-up a second in each thread, and does not keep the process alive.
 */
export function startWatchdog({ failed, turnMs = 1_000, turns = 5 }: WatchdogOptions): Disposable {
  const beat = new Int32Array(new SharedArrayBuffer(Int32Array.BYTES_PER_ELEMENT));
  const workerData: WatchdogData = { beat, turnMs, turns };
  // Sources run as .ts, the image runs the built .js: the worker is whatever this file is.
  const extension = import.meta.url.endsWith('.ts') ? 'ts' : 'js';
  const worker = new Worker(new URL(`./watchdog-worker.${extension}`, import.meta.url), { workerData });
  worker.unref();
  worker.on('error', failed);
  const timer = setInterval(() => {
    Atomics.add(beat, 0, 1);
    Atomics.notify(beat, 0);
  }, turnMs);
  timer.unref();
  return {
    [Symbol.dispose]: () => {
      clearInterval(timer);
      void worker.terminate();
    },
  };
}
