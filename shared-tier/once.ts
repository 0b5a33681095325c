import { setTimeout as delay } from 'node:timers/promises';
import type { Content, Ingest } from '../content/store.ts';
import { OciError } from '../oci/error.ts';
import type { ByteRange } from '../oci/range.ts';
import type { Holder } from './leases/lease-api.ts';
import type { Leases, Turn } from './leases/leases.ts';
import { type DownloadOptions, type StartedDownload, startDownload } from './origin/download.ts';
import type { RegistryClient } from './origin/registry-client.ts';
import type { Place } from './records.ts';
import type { Replicas } from './replicas.ts';

/** Why an object may leave its origin more often than once. */
export type DuplicateReason =
  /** Nobody can say who fetches it. */
  | 'uncoordinated'
  /** Whoever fetches it says so, and cannot be read from. */
  | 'unreachable'
  /** Whoever was fetching it has gone. */
  | 'taken-over';

export interface OnceEvents {
  /** An object is fetched here though another replica may fetch it, or has fetched a part of it. */
  duplicated(place: Place, reason: DuplicateReason, error: OciError | undefined): void;
  /** Another replica fetches it; it is read from there. */
  followed(place: Place, holder: Holder): void;
}

export interface OnceOptions {
  readonly leases: Leases;
  readonly replicas: Replicas;
  readonly events: OnceEvents;
}

export interface OnceQuestion {
  readonly place: Place;
  readonly download: DownloadOptions & { readonly client: Pick<RegistryClient, 'headBlob'> };
  /** What came from this origin and is in the store by now. */
  readonly stored: () => Promise<Content | undefined>;
}

/** A download that no other replica makes at the same time, or that another replica makes. */
export interface SharedDownload extends StartedDownload, AsyncDisposable {
  /** It was in the store when this replica's turn had come: there is nothing to take in. */
  readonly isStored: boolean;
  /** Gives the turn back: when the content is committed, or will not be. */
  [Symbol.asyncDispose](): Promise<void>;
}

/** How often a holder that cannot be read from is tried again. */
const RETRY_MS = 500;
/** What a holder that died has beyond the duration of its lease until it is given up. */
const GRACE_MS = 2_000;

/**
 * Each object is fetched once in the cluster: `startDownload` with a turn taken before it and given back after the commit.
 * Where it is another replica's turn the same bytes are read from there, as they arrive, into an ingest of our own; so
 * each replica serves its callers itself, and goes on from where it is when the other one dies.
 */
export class Once {
  readonly #options: OnceOptions;

  constructor(options: OnceOptions) {
    this.#options = options;
  }

  /**
   * Begins as `startDownload` does. The origin is asked in any case, by the download itself or by a HEAD: that another
   * replica has got the content says nothing about this caller.
   *
   * @throws OciError see `RegistryClient.getBlob` and `RegistryClient.headBlob`
   */
  async start(question: OnceQuestion, missing?: ByteRange): Promise<SharedDownload> {
    const turns = new Turns(this.#options, question);
    try {
      return await begin(turns, question, missing);
    } catch (error) {
      await turns[Symbol.asyncDispose]();
      throw error;
    }
  }
}

/** The turns that one download takes, one after the other. */
class Turns implements AsyncDisposable {
  readonly #options: OnceOptions;
  readonly #question: OnceQuestion;
  #turn: Turn | undefined;
  /** Whose bytes do not come, and since when. */
  #stuck: { readonly holder: string; readonly sinceMs: number } | undefined;

  constructor(options: OnceOptions, question: OnceQuestion) {
    this.#options = options;
    this.#question = question;
  }

  async next(): Promise<Turn> {
    await this[Symbol.asyncDispose]();
    const { leases, events } = this.#options;
    const { place, download } = this.#question;
    const turn = await leases.acquire(`${place.registry} ${download.digest}`);
    if (turn.kind === 'held') {
      if (this.#stuck?.holder !== turn.holder.identity) {
        this.#stuck = undefined;
        events.followed(place, turn.holder);
      } else if (performance.now() - this.#stuck.sinceMs > leases.durationMs + GRACE_MS) {
        return this.#goAlone('unreachable', undefined);
      }
    } else if (turn.kind === 'uncoordinated') {
      return this.#goAlone('uncoordinated', turn.reason);
    } else if (turn.isTakenOver) {
      events.duplicated(place, 'taken-over', undefined);
    }
    this.#turn = turn;
    return turn;
  }

  /** What comes from the holder, one connection in order: what is far ahead may take it a while. */
  fromHolder(holder: Holder): DownloadOptions {
    const { place, download } = this.#question;
    const client = this.#options.replicas.source(holder, place.registry);
    return { ...download, client, pace: undefined, received: () => undefined, connections: 1, breaks: 1 };
  }

  /**
   * The holder sent nothing in its turn. If it has died its lease is to be had when the duration is over; if the lease is
   * renewed that long, the holder is alive and just cannot be read from.
   */
  isStuck(holder: Holder): void {
    this.#stuck ??= { holder: holder.identity, sinceMs: performance.now() };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const turn = this.#turn;
    this.#turn = undefined;
    if (turn?.kind === 'acquired') await turn.lease[Symbol.asyncDispose]();
  }

  #goAlone(reason: DuplicateReason, error: OciError | undefined): Turn {
    this.#options.events.duplicated(this.#question.place, reason, error);
    return { kind: 'uncoordinated', reason: error ?? new OciError('UNAVAILABLE', 'another replica cannot be reached') };
  }
}

async function begin(turns: Turns, question: OnceQuestion, missing: ByteRange | undefined): Promise<SharedDownload> {
  const { download, stored } = question;
  const turn = await turns.next();
  await using content = turn.kind === 'held' ? undefined : await stored();
  let started: StartedDownload | undefined;
  let sizeBytes = missing?.end ?? 0;
  if (turn.kind !== 'held' && !content) {
    started = await startDownload(withLoss(download, turn), missing);
    ({ sizeBytes } = started);
  } else if (!missing) {
    // Those who wait have had their answer already when only a part is missing.
    ({ sizeBytes } = await download.client.headBlob(download.repository, download.digest, download));
  }
  return {
    sizeBytes,
    isStored: content !== undefined,
    cancel: () => started?.cancel(),
    into: async (ingest) => {
      for (let now = turn, first = started; ; now = await turns.next(), first = undefined) {
        if (await take(now, first, ingest, turns, question)) return;
      }
    },
    [Symbol.asyncDispose]: async () => await turns[Symbol.asyncDispose](),
  };
}

/** Takes in all that this turn gives. @returns whether that is everything; if not, it is somebody else's turn now */
async function take(
  turn: Turn,
  begun: StartedDownload | undefined,
  ingest: Ingest,
  turns: Turns,
  { download, stored }: OnceQuestion,
): Promise<boolean> {
  const { signal } = download;
  const whole = { start: 0, end: ingest.sizeBytes };
  const gap = ingest.gaps(whole)[0];
  if (!begun && !gap) return true;
  if (turn.kind === 'held') {
    const before = missingBytes(ingest);
    try {
      await (await startDownload(turns.fromHolder(turn.holder), gap)).into(ingest);
      return true;
    } catch (error) {
      signal.throwIfAborted();
      if (ingest.failure) throw error;
      if (missingBytes(ingest) === before) {
        turns.isStuck(turn.holder);
        await delay(RETRY_MS, undefined, { signal });
      }
      return false;
    }
  }

  try {
    await using content = begun ? undefined : await stored();
    if (content) await copy(content, ingest, signal);
    else await (begun ?? (await startDownload(withLoss(download, turn), gap))).into(ingest);
    return true;
  } catch (error) {
    const isLost = turn.kind === 'acquired' && turn.lease.lost.aborted;
    if (!isLost || signal.aborted || ingest.failure) throw error;
    return false;
  }
}

/** Ends when another replica has taken over: then that one fetches the rest. */
function withLoss(download: DownloadOptions, turn: Turn): DownloadOptions {
  if (turn.kind !== 'acquired') return download;
  return { ...download, signal: AbortSignal.any([download.signal, turn.lease.lost]) };
}

async function copy(content: Content, ingest: Ingest, signal: AbortSignal): Promise<void> {
  for (const gap of ingest.gaps({ start: 0, end: ingest.sizeBytes })) {
    let position = gap.start;
    for await (const { bytes, release } of content.chunks(gap, { signal })) {
      try {
        await ingest.write(position, [bytes]);
        position += bytes.length;
      } finally {
        release();
      }
    }
  }
}

function missingBytes(ingest: Ingest): number {
  return ingest.gaps({ start: 0, end: ingest.sizeBytes }).reduce((total, { start, end }) => total + end - start, 0);
}
