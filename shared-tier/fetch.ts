import type { Content, Ingest } from '../content/store.ts';
import type { Digest } from '../oci/digest.ts';
import { OciError } from '../oci/error.ts';
import type { ByteRange } from '../oci/range.ts';
import type { FetchOptions } from './fetch-options.ts';
import { NOTHING_MISSING, type SharedDownload, type Taking, abandon } from './once.ts';
import { PassThrough } from './origin/pass-through.ts';
import { type Place, placeKey } from './records.ts';
import { type Right, SharedRights, firstAllowed, isRefusal } from './right.ts';

/** What is known when the origin has answered. Without an ingest the store has no room for the content, or has it. */
interface Opened {
  readonly sizeBytes: number;
  readonly ingest?: Ingest;
}

export interface OpenedFetch {
  readonly sizeBytes: number;
  /** The store has no room: each reader costs the origin a request. */
  readonly isPassedThrough: boolean;
}

/** How long a caller waits for the origin's first byte. */
const OPEN_MS = 20_000;
const NOBODY_WAITS = new OciError('UNAVAILABLE', 'nobody waits for this content any more');

/**
 * The retrieval of one object from one origin, shared by all who want it. It begins with the first of them and does
 * not end with any of them: a client that hangs up takes nothing away from the others.
 *
 * It uses the credentials of who began it, until the origin refuses them in the middle of it; then those of the next one
 * who waits for the same and has a right of its own. Nothing is fetched with credentials whose owners have all gone.
 *
 * When the store cannot take the content, before it comes or in the middle of it, the fetch goes on without the store:
 * who reads from then on is passed through to the origin.
 */
export class Fetch {
  /** Where the origin is asked for it first. */
  readonly place: Place;
  readonly digest: Digest;
  readonly #options: FetchOptions;
  readonly #rights: SharedRights;
  #opened: Promise<Opened>;
  #arriving: Ingest | undefined;
  #passing: PassThrough | undefined;
  #stop = new AbortController();
  #running: Promise<void> = Promise.resolve();
  #state: 'running' | 'parked' | 'ended' = 'running';
  #followers = 0;
  /** Ends what the followers read. */
  #interrupt = new AbortController();
  #timer: NodeJS.Timeout | undefined;

  constructor(options: FetchOptions) {
    this.#options = options;
    this.#rights = new SharedRights(options.rights);
    this.place = options.rights[0].place;
    this.digest = options.digest;
    this.#opened = this.#open();
    this.#opened.catch((error: unknown) => options.ended(OciError.from(error)));
  }

  /** Where its bytes are kept, and how many read them. Without an ingest none are, or the origin has not answered yet. */
  get progress(): { readonly ingest: Ingest | undefined; readonly followers: number } {
    return { ingest: this.#passing ? undefined : this.#arriving, followers: this.#followers };
  }

  /** Settles with the origin's first answer: then the size is known, and that the origin allows the read. */
  async opened(): Promise<OpenedFetch> {
    const { sizeBytes } = await this.#opened;
    this.#attend();
    return { sizeBytes, isPassedThrough: this.#passing !== undefined };
  }

  /** Lends a further right, of somebody whom the origin allows to read this, for when the others have ended. */
  join(right: Right): void {
    this.#rights.join(right);
  }

  /** A reader of the content while it arrives. Only after `opened`. @throws OciError BLOB_UNKNOWN: open it again */
  async follow(): Promise<Content> {
    if (this.#rights.isEmpty) throw new OciError('BLOB_UNKNOWN', 'nobody waits for this content any more');
    const { sizeBytes, ingest } = await this.#opened;
    // The writer may not have noticed yet that the storage has failed.
    if (ingest?.failure?.code === 'UNAVAILABLE' && this.#state !== 'ended') this.#pass(ingest.failure, sizeBytes);
    const content = this.#passing ?? ingest?.follow();
    if (!content) throw new OciError('UNAVAILABLE', 'this fetch has ended');
    const { signal: interrupted } = this.#interrupt;
    this.#followers += 1;
    this.#attend();
    let isOpen = true;
    return {
      digest: this.digest,
      sizeBytes,
      chunks: (range, { signal }) => content.chunks(range, { signal: AbortSignal.any([signal, interrupted]) }),
      [Symbol.asyncDispose]: async () => {
        if (!isOpen) return;
        isOpen = false;
        this.#followers -= 1;
        this.#attend();
        if (!(content instanceof PassThrough)) await content[Symbol.asyncDispose]();
      },
    };
  }

  /** Gives the fetch up; followers fail with the reason. */
  async cancel(reason: OciError): Promise<void> {
    clearTimeout(this.#timer);
    this.#stop.abort(reason);
    const opened = await this.#opened.catch(() => undefined);
    if (!opened) return;
    this.#fail(opened.ingest, reason);
    await this.#running;
    await opened.ingest?.[Symbol.asyncDispose]();
  }

  async #open(): Promise<Opened> {
    const opening = new AbortController();
    const late = setTimeout(
      () => opening.abort(new OciError('UNAVAILABLE', 'the origin does not answer now')),
      OPEN_MS,
    );
    const signal = AbortSignal.any([opening.signal, this.#stop.signal]);
    let slot: Disposable | undefined;
    let started: SharedDownload | undefined;
    try {
      slot = await this.#options.slots.take(placeKey(this.place), signal);
      // Only the caller that began it: the origin's first answer is an answer to that one.
      started = await firstAllowed(this.#options.rights, (right) => this.#startDownload(right, undefined, signal));
      const { sizeBytes } = started;
      const ingest = started.isStored ? undefined : await this.#ingest(started);
      if (ingest) {
        this.#arriving = ingest;
        this.#running = this.#run(started, ingest, slot, this.#stop.signal);
        return { sizeBytes, ingest };
      }
      if (started.isStored) {
        await this.#options.committed(); // by another, and the origin has said yes to this caller too
        this.#end(undefined);
      }
      await abandon(started);
      slot?.[Symbol.dispose](); // each reader asks for itself, the origin or the store
      return { sizeBytes };
    } catch (error) {
      await abandon(started);
      slot?.[Symbol.dispose]();
      throw error;
    } finally {
      clearTimeout(late);
    }
  }

  /** Undefined when the store cannot take it. */
  async #ingest({ sizeBytes, isCopy }: SharedDownload): Promise<Ingest | undefined> {
    try {
      return await this.#options.store.ingest(this.digest, sizeBytes, { isCopy });
    } catch (error) {
      const failure = OciError.from(error);
      if (failure.code !== 'UNAVAILABLE') throw failure;
      this.#pass(failure, sizeBytes);
      return undefined;
    }
  }

  #pass(failure: OciError, sizeBytes: number): void {
    if (this.#passing) return;
    const { download, notKept } = this.#options;
    this.#passing = new PassThrough({
      ...download,
      rights: () => this.#rights.all,
      digest: this.digest,
      sizeBytes,
      signal: this.#stop.signal,
      corrupt: (error) => this.#end(error),
    });
    notKept(failure);
  }

  async #startDownload(
    { place: { repository }, credential }: Right,
    missing: ByteRange | undefined,
    signal: AbortSignal,
  ): Promise<SharedDownload> {
    const { download, start } = this.#options;
    return await start({ ...download, repository, credential, digest: this.digest, signal }, missing);
  }

  /** Begins to fetch what is missing, with the first right that the origin accepts; the others have ended. */
  async #continue(ingest: Ingest, signal: AbortSignal): Promise<Taking> {
    const missing = ingest.gaps({ start: 0, end: ingest.sizeBytes })[0];
    if (!missing) return NOTHING_MISSING;
    return await this.#rights.use((right) => this.#startDownload(right, missing, signal));
  }

  async #run(started: Taking, ingest: Ingest, slot: Disposable, signal: AbortSignal): Promise<void> {
    let download = started;
    this.#attend();
    try {
      for (; ; download = await this.#continue(ingest, signal)) {
        try {
          await download.into(ingest);
          break;
        } catch (error) {
          if (!isRefusal(error)) throw error;
          this.#rights.next();
          if (this.#rights.isEmpty) throw error;
          await download[Symbol.asyncDispose](); // another replica may have a better right
        }
      }
      await ingest.commit();
      await this.#options.committed();
      this.#end(undefined);
    } catch (error) {
      if (error === NOBODY_WAITS) return; // the ingest is kept for a while
      if (isRefusal(error)) this.#suspend(ingest);
      else if (ingest.failure?.code === 'UNAVAILABLE') this.#pass(ingest.failure, ingest.sizeBytes);
      else this.#fail(ingest, error);
    } finally {
      await download[Symbol.asyncDispose]();
      slot[Symbol.dispose]();
    }
  }

  #end(error: OciError | undefined): void {
    clearTimeout(this.#timer);
    if (this.#state === 'ended') return;
    this.#state = 'ended';
    this.#options.ended(error);
  }

  #fail(ingest: Ingest | undefined, error: unknown): void {
    ingest?.abort(error);
    this.#end(OciError.from(error));
  }

  /** Sets what happens next: nothing while there are readers, else stopping, and at last forgetting. */
  #attend(): void {
    if (this.#state === 'ended' || (this.#state === 'parked' && this.#rights.isEmpty)) return;
    clearTimeout(this.#timer);
    if (this.#state === 'parked' && !this.#passing) this.#resume();
    else if (this.#followers === 0) this.#timer = setTimeout(() => void this.#park(), this.#options.lingerMs).unref();
  }

  async #park(): Promise<void> {
    this.#state = 'parked';
    this.#rights.clear(); // who comes back brings a right
    this.#stop.abort(NOBODY_WAITS);
    if (this.#passing) {
      this.#end(undefined);
      return;
    }
    const { ingest } = await this.#opened;
    if (this.#state === 'parked') this.#forgetLater(ingest); // else somebody came back meanwhile
  }

  /** No right is left. Who still reads must ask again, and goes on from here if the origin says yes. */
  #suspend(ingest: Ingest): void {
    clearTimeout(this.#timer);
    this.#state = 'parked';
    this.#rights.clear();
    this.#interrupt.abort(new OciError('UNAVAILABLE', 'the right to fetch this content has ended'));
    this.#interrupt = new AbortController();
    this.#forgetLater(ingest);
  }

  #forgetLater(ingest: Ingest | undefined): void {
    this.#timer = setTimeout(() => this.#fail(ingest, NOBODY_WAITS), this.#options.parkMs).unref();
  }

  #resume(): void {
    this.#state = 'running';
    this.#stop = new AbortController();
    this.#running = this.#restart(this.#running, this.#stop.signal);
  }

  /** One writer after the other: what one of them has received the next one must not ask for again. */
  async #restart(before: Promise<void>, signal: AbortSignal): Promise<void> {
    await before;
    const { ingest } = await this.#opened;
    if (this.#state === 'ended' || !ingest) return; // the one before had everything already
    let slot: Disposable | undefined;
    let started: Taking | undefined;
    try {
      const inTime = AbortSignal.any([AbortSignal.timeout(OPEN_MS), signal]);
      slot = await this.#options.slots.take(placeKey(this.place), inTime);
      started = await this.#continue(ingest, signal);
      signal.throwIfAborted();
    } catch (error) {
      await abandon(started);
      slot?.[Symbol.dispose]();
      if (isRefusal(error)) this.#suspend(ingest);
      else if (signal.reason !== NOBODY_WAITS) this.#fail(ingest, error); // else they have gone again
      return;
    }
    await this.#run(started, ingest, slot, signal);
  }
}
