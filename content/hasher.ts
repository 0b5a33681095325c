import { hash } from 'node:crypto';
import { read } from 'node:fs';
import { availableParallelism } from 'node:os';
import { promisify } from 'node:util';
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

/** So much at most is hashed by who asks, within 50 us: to tell a thread, and to be told, takes as long. */
const SMALL_BYTES = 64 * 1024;
const readAt = promisify(read);

interface Running {
  resolve(hex: string): void;
  reject(reason: OciError): void;
  readonly finished: Promise<unknown>;
}

/**
 * Hashes growing files in worker threads, so that verification takes another core and not the event loop. The workers
 * read from the page cache what the main thread has just written, and start with the first file that is not small.
 */
export class Hasher implements AsyncDisposable {
  readonly #workers: HashThread[];
  readonly #jobs = new Set<HashJob>();
  #next = 0;

  /** @param threads one core is left to the event loop */
  constructor(threads = Math.max(1, Math.min(4, availableParallelism() - 1))) {
    this.#workers = Array.from({ length: threads }, () => new HashThread());
  }

  start(fd: number, algorithm: Algorithm, sizeBytes: number): HashJob {
    const job = new Job(fd, algorithm, sizeBytes, (size) => this.#thread().start(fd, algorithm, size));
    this.#jobs.add(job);
    void job.result.catch(() => undefined).then(() => this.#jobs.delete(job));
    return job;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await Promise.all([...this.#jobs].map((job) => job.cancel()));
    await Promise.all(this.#workers.map((thread) => thread.end()));
  }

  #thread(): HashThread {
    this.#next = (this.#next + 1) % this.#workers.length;
    const thread = this.#workers[this.#next];
    if (!thread) throw new Error('a hasher has at least one thread');
    return thread;
  }
}

/** Goes to a thread when more is there than is small; what has ended by then is hashed here. */
class Job implements HashJob {
  readonly result: Promise<string>;
  readonly #settle = Promise.withResolvers<string>();
  readonly #hashHere: (sizeBytes: number) => Promise<string>;
  readonly #startThread: (sizeBytes: number) => HashJob;
  #sizeBytes: number;
  #inThread: HashJob | undefined;
  #isBegun = false;

  constructor(fd: number, algorithm: Algorithm, sizeBytes: number, startThread: (sizeBytes: number) => HashJob) {
    this.result = this.#settle.promise;
    this.#hashHere = (size) => hashSmall(fd, algorithm, size);
    this.#startThread = startThread;
    this.#sizeBytes = sizeBytes;
    this.advance(0);
  }

  advance(upTo: number): void {
    if (!this.#isBegun && upTo > SMALL_BYTES) {
      this.#inThread = this.#startThread(this.#sizeBytes);
      this.#begin(this.#inThread.result);
    } else if (!this.#isBegun && upTo === this.#sizeBytes) this.#begin(this.#hashHere(upTo));
    this.#inThread?.advance(upTo);
  }

  finish(sizeBytes: number): void {
    this.#sizeBytes = sizeBytes;
    if (this.#inThread) this.#inThread.finish(sizeBytes);
    else this.advance(sizeBytes);
  }

  async cancel(): Promise<void> {
    if (!this.#isBegun) this.#begin(Promise.reject(new OciError('UNAVAILABLE', 'the verification was cancelled')));
    await this.#inThread?.cancel();
    await this.result.catch(() => undefined);
  }

  #begin(result: Promise<string>): void {
    this.#isBegun = true;
    this.#settle.resolve(result);
  }
}

async function hashSmall(fd: number, algorithm: Algorithm, sizeBytes: number): Promise<string> {
  try {
    const bytes = Buffer.allocUnsafe(sizeBytes);
    for (let at = 0, bytesRead; at < sizeBytes; at += bytesRead) {
      ({ bytesRead } = await readAt(fd, bytes, at, sizeBytes - at, at));
      if (bytesRead === 0) throw new Error('the file is shorter than what was written to it');
    }
    return hash(algorithm, bytes, 'hex');
  } catch (cause) {
    throw new OciError('UNAVAILABLE', 'content could not be verified', { cause });
  }
}

/** One worker, started when there is something for it, and again after a crash. */
class HashThread {
  readonly #running = new Map<number, Running>();
  #worker: Worker | undefined;
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
