import { type Hash, createHash } from 'node:crypto';
import { readSync } from 'node:fs';
import { parentPort } from 'node:worker_threads';
import type { Algorithm } from '../oci/digest.ts';

/** What the main thread says. File descriptors belong to the process, so a number is enough. */
export type HashRequest =
  | { kind: 'start'; job: number; fd: number; algorithm: Algorithm; sizeBytes: number }
  | { kind: 'advance'; job: number; upTo: number }
  /** The file has grown to its end; for jobs that were started with the size Infinity. */
  | { kind: 'finish'; job: number; sizeBytes: number }
  | { kind: 'cancel'; job: number };

/** What the worker answers: exactly one of these for each job. */
export type HashAnswer =
  | { kind: 'done'; job: number; hex: string }
  | { kind: 'failed'; job: number; message: string }
  | { kind: 'cancelled'; job: number };

interface Job {
  readonly fd: number;
  readonly hash: Hash;
  sizeBytes: number;
  position: number;
  upTo: number;
}

const SLICE_BYTES = 1024 * 1024; // one slice a turn, so that a small blob does not wait for a large one

if (parentPort) serve(parentPort);

function serve(port: NonNullable<typeof parentPort>): void {
  const jobs = new Map<number, Job>();
  const buffer = Buffer.allocUnsafeSlow(SLICE_BYTES);
  let scheduled = false;

  const answer = (message: HashAnswer): void => {
    jobs.delete(message.job);
    port.postMessage(message);
  };

  const schedule = (): void => {
    if (scheduled) return;
    scheduled = true;
    setImmediate(turn);
  };

  const turn = (): void => {
    scheduled = false;
    for (const [id, job] of jobs) {
      if (job.position < job.upTo || job.position === job.sizeBytes) hashSlice(id, job);
    }
    if ([...jobs.values()].some((job) => job.position < job.upTo)) schedule();
  };

  const hashSlice = (id: number, job: Job): void => {
    try {
      const length = Math.min(SLICE_BYTES, job.upTo - job.position);
      const read = length === 0 ? 0 : readSync(job.fd, buffer, 0, length, job.position);
      if (read === 0 && length > 0) throw new Error('the file is shorter than what was written to it');
      job.hash.update(buffer.subarray(0, read));
      job.position += read;
      if (job.position === job.sizeBytes) answer({ kind: 'done', job: id, hex: job.hash.digest('hex') });
    } catch (error) {
      answer({ kind: 'failed', job: id, message: error instanceof Error ? error.message : String(error) });
    }
  };

  port.on('message', (request: HashRequest) => {
    const job = jobs.get(request.job);
    switch (request.kind) {
      case 'start': {
        const { fd, sizeBytes, algorithm } = request;
        jobs.set(request.job, { fd, sizeBytes, hash: createHash(algorithm), position: 0, upTo: 0 });
        if (sizeBytes === 0) schedule();
        break;
      }
      case 'advance':
        if (job) job.upTo = request.upTo;
        schedule();
        break;
      case 'finish':
        if (job) job.upTo = job.sizeBytes = request.sizeBytes;
        schedule();
        break;
      case 'cancel':
        // A job that is already done has been answered; its file may be closed all the same.
        if (job) answer({ kind: 'cancelled', job: request.job });
        break;
    }
  });
}
