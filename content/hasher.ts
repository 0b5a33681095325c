import { availableParallelism } from 'node:os';
import { Worker } from 'node:worker_threads';
import type { Algorithm } from '../oci/digest.ts';
import { OciError } from '../oci/error.ts';
import type { HashAnswer, HashRequest } from './hash-worker.ts';

/** The hash of one growing file. */
export interface HashJob {
  /** Tells that the bytes up to here can be read from the file. */
  advance(upTo: number): void;
  /** Tells that the file has grown to its end, of one whose size was unknown (Infinity). */
  finish(sizeBytes: number): void;
  /** Hex of the whole file. Rejects with OciError UNAVAILABLE when it cannot be read or was cancelled. */
  readonly result: Promise<string>;
  /** Ends the job if it still runs. When the promise is settled, nobody uses the file descriptor any more. */
  cancel(): Promise<void>;
}

interface Running {
  resolve(hex: string): void;
  reject(reason: OciError): void;
  readonly finished: Promise<unknown>;
}

/**
 * Hashes growing files in worker threads, so that verification takes another core and never the event loop. The
 * workers read from the page cache what the main thread has just written.
 */
export class Hasher implements AsyncDisposable {
  readonly #workers: HashThread[];
  #next = 0;

  /** @param threads one core is left to the event loop */
  constructor(threads = Math.max(1, Math.min(4, availableParallelism() - 1))) {
    this.#workers = Array.from({ length: threads }, () => new HashThread());
  }

  start(fd: number, algorithm: Algorithm, sizeBytes: number): HashJob {
    this.#next = (this.#next + 1) % this.#workers.length;
    const thread = this.#workers[this.#next];
    if (!thread) throw new Error('a hasher has at least one thread');
    return thread.start(fd, algorithm, sizeBytes);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await Promise.all(this.#workers.map((thread) => thread.end()));
  }
}

/** One worker, started at once, so that the first content does not wait for it, and again after a crash. */
class HashThread {
  readonly #running = new Map<number, Running>();
  #worker: Worker | undefined = this.#startWorker();
  #ids = 0;

  start(fd: number, algorithm: Algorithm, sizeBytes: number): HashJob {
    const job = (this.#ids += 1);
    const { promise, resolve, reject } = Promise.withResolvers<string>();
    const finished = promise.catch(() => undefined); // also: a result that nobody asks for is no unhandled rejection
    this.#running.set(job, { resolve, reject, finished });
    this.#say({ kind: 'start', job, fd, algorithm, sizeBytes });
    return {
      result: promise,
      advance: (upTo) => this.#say({ kind: 'advance', job, upTo }),
      finish: (length) => this.#say({ kind: 'finish', job, sizeBytes: length }),
      cancel: async () => {
        if (this.#running.has(job)) this.#say({ kind: 'cancel', job });
        await finished;
      },
    };
  }

  async end(): Promise<void> {
    await this.#worker?.terminate();
  }

  #say(request: HashRequest): void {
    this.#worker ??= this.#startWorker();
    this.#worker.postMessage(request);
  }

  #startWorker(): Worker {
    // Sources run as .ts, the image runs the built .js: the worker is whatever this file is.
    const extension = import.meta.url.endsWith('.ts') ? 'ts' : 'js';
    const worker = new Worker(new URL(`./hash-worker.${extension}`, import.meta.url));
    worker.unref();
    worker.on('message', (answer: HashAnswer) => this.#settle(answer));
    worker.on('error', (cause) => this.#lost(worker, cause));
    worker.on('exit', () => this.#lost(worker, undefined));
    return worker;
  }

  #settle(answer: HashAnswer): void {
    const running = this.#running.get(answer.job);
    this.#running.delete(answer.job);
    switch (answer.kind) {
      case 'done':
        running?.resolve(answer.hex);
        break;
      case 'failed':
        running?.reject(new OciError('UNAVAILABLE', 'content could not be verified', { cause: answer.message }));
        break;
      case 'cancelled':
        running?.reject(new OciError('UNAVAILABLE', 'the verification was cancelled'));
        break;
    }
  }

  #lost(worker: Worker, cause: unknown): void {
    if (worker !== this.#worker) return; // an 'exit' follows each 'error'; by then there may be a new worker
    this.#worker = undefined;
    for (const running of this.#running.values()) {
      running.reject(new OciError('UNAVAILABLE', 'the verification thread ended', { cause }));
    }
    this.#running.clear();
  }
}
