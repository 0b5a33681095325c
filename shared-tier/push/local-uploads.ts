import { LRUCache } from 'lru-cache';
import { atMost } from '../../content/at-most.ts';
import type { Chunks } from '../../content/chunk.ts';
import type { Spool, Spools } from '../../content/spool.ts';
import type { Digest } from '../../oci/digest.ts';
import { OciError } from '../../oci/error.ts';
import type { Keeper } from './client-body.ts';

export interface LocalUploadsOptions {
  readonly spools: Spools;
  /** Most bytes of one upload that are kept: one large blob must not drive out all others. */
  readonly maxBytes: number;
  readonly notKept: (error: OciError) => void;
  /** Uploads that are remembered; 256 unless given. */
  readonly maxUploads?: number;
  /** How long without a request; 10 minutes unless given. */
  readonly idleMs?: number;
}

/** What goes on of one upload, and where it has come to. */
export interface Progress {
  readonly location: URL;
  readonly offset: number;
}

/**
 * What this replica has of an upload: only that the blob can be cached, and resumed, hangs on it. Without it, or with a
 * part of it, a push goes on all the same.
 */
export class LocalUpload implements Keeper {
  readonly #options: LocalUploadsOptions;
  #spool: Spool | undefined;
  /** All of the upload's bytes so far went through here, and are kept. */
  #isWhole: boolean;
  /** Newer than what an old address says; undefined while only the origin knows. */
  progress: Progress | undefined;
  /** End of what was sent to the origin. */
  sentBytes = 0;
  /** The request that works on it. */
  turn: Promise<unknown> = Promise.resolve();
  interrupt: AbortController | undefined;
  timer: NodeJS.Timeout | undefined;

  constructor(options: LocalUploadsOptions, isWhole: boolean) {
    this.#options = options;
    this.#isWhole = isWhole;
  }

  async keep(pieces: readonly Uint8Array[], position: number): Promise<void> {
    if (!this.#isWhole) return;
    try {
      if (pieces.reduce((end, { length }) => end + length, position) > this.#options.maxBytes) {
        throw new OciError('UNAVAILABLE', 'the blob is too large to be kept');
      }
      this.#spool ??= await this.#options.spools.spool();
      if (this.#spool.sizeBytes === position) await this.#spool.append(pieces);
      else await this.drop();
    } catch (error) {
      this.#options.notKept(OciError.from(error));
      await this.drop();
    }
  }

  ended(): void {
    this.#spool?.settle(); // while the origin makes something of what it has got
  }

  kept(position: number, options: { signal: AbortSignal }): Chunks | undefined {
    const spool = this.#isWhole ? this.#spool : undefined;
    if (!spool || position >= spool.sizeBytes) return undefined;
    return spool.chunks({ start: position, end: spool.sizeBytes }, options);
  }

  /** The origin has so much of it: what is behind that goes to it again, and what is missing here was sent elsewhere. */
  async align(offset: number): Promise<void> {
    if (offset < (this.#spool?.sizeBytes ?? 0)) this.#spool?.truncate(offset);
    if (offset > (this.#spool?.sizeBytes ?? 0)) await this.drop();
  }

  /** Makes content of it. False when it is not all here. @throws OciError CORRUPT, UNAVAILABLE */
  async commit(digest: Digest): Promise<boolean> {
    if (!this.#isWhole) return false;
    const spool = this.#spool ?? (await this.#options.spools.spool());
    this.#spool = spool;
    await spool.commit(digest);
    return true;
  }

  /** Keeps nothing of it any more. */
  async drop(): Promise<void> {
    this.#isWhole = false;
    const spool = this.#spool;
    this.#spool = undefined;
    await spool?.[Symbol.asyncDispose]();
  }
}

const MAX_UPLOADS = 256;
const IDLE_MS = 600_000;

/** The uploads that this replica works on. Bounded in number and age; who is forgotten is uploaded all the same. */
export class LocalUploads implements AsyncDisposable {
  readonly #options: LocalUploadsOptions;
  readonly #uploads = new Map<string, LocalUpload>();
  readonly #begun = new LRUCache<string, Progress>(atMost(10_000));

  constructor(options: LocalUploadsOptions) {
    this.#options = options;
  }

  get count(): number {
    return this.#uploads.size;
  }

  /** An upload that began here. Until its first byte, that is all there is of it. */
  begin(id: string, progress: Progress): void {
    this.#begun.set(id, progress);
  }

  /** Where the upload has come to, as far as this replica knows. */
  progressOf(id: string): Progress | undefined {
    return this.#uploads.get(id)?.progress;
  }

  /**
   * Works on an upload, alone: a request under way for the same one is cut off. Its client has lost it, or would not
   * have sent another.
   */
  async work<T>(
    { id, offset }: { id: string; offset: number },
    work: (local: LocalUpload, signal: AbortSignal) => Promise<T>,
  ): Promise<T> {
    const local = this.#open(id, offset);
    this.#uploads.delete(id);
    this.#uploads.set(id, local); // the last one now
    clearTimeout(local.timer);
    local.interrupt?.abort(new OciError('UNAVAILABLE', 'another request goes on with this upload'));
    const interrupt = new AbortController();
    local.interrupt = interrupt;
    const before = local.turn;
    const { promise, resolve } = Promise.withResolvers<undefined>();
    local.turn = promise;
    try {
      await this.#makeRoom();
      await before;
      interrupt.signal.throwIfAborted();
      return await work(local, interrupt.signal);
    } finally {
      resolve(undefined);
      if (local.interrupt === interrupt && this.#uploads.get(id) === local) {
        local.interrupt = undefined;
        local.timer = setTimeout(() => void this.forget(id), this.#options.idleMs ?? IDLE_MS).unref();
      }
    }
  }

  /** Drops what is kept of an upload. */
  async forget(id: string): Promise<void> {
    const local = this.#uploads.get(id);
    this.#uploads.delete(id);
    clearTimeout(local?.timer);
    await local?.drop();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const { interrupt } of this.#uploads.values()) {
      interrupt?.abort(new OciError('UNAVAILABLE', 'the shared tier is stopping'));
    }
    await Promise.all([...this.#uploads.values()].map(({ turn }) => turn));
    await Promise.all([...this.#uploads.keys()].map((id) => this.forget(id)));
  }

  #open(id: string, offset: number): LocalUpload {
    const known = this.#uploads.get(id);
    if (known) return known;
    const local = new LocalUpload(this.#options, offset === 0);
    local.progress = this.#begun.get(id);
    this.#begun.delete(id);
    return local;
  }

  /** The one that nobody has worked on for longest goes; if all are being worked on, it is uploaded without being kept. */
  async #makeRoom(): Promise<void> {
    if (this.#uploads.size <= (this.#options.maxUploads ?? MAX_UPLOADS)) return;
    const [idle] = [...this.#uploads].find(([, { interrupt }]) => !interrupt) ?? [];
    const [oldest] = this.#uploads.keys();
    const id = idle ?? oldest;
    if (id !== undefined) await this.forget(id);
  }
}
