import { setTimeout as delay } from 'node:timers/promises';
import type { Content, Ingest } from '../content/store.ts';
import type { Digest } from '../oci/digest.ts';
import type { ByteRange } from '../oci/range.ts';
import type { Registry } from '../oci/reference.ts';
import type { Holder } from './leases/lease-api.ts';
import type { Leases, Turn } from './leases/leases.ts';
import { type BlobSource, type DownloadOptions, type StartedDownload, startDownload } from './origin/download.ts';
import type { RegistryClient } from './origin/registry-client.ts';
import type { Place } from './records.ts';
import type { Replicas } from './replicas.ts';
import { RETRY_MS, Turns, type TurnsEvents } from './turns.ts';

export interface OnceOptions {
  readonly leases: Leases;
  readonly replicas: Replicas;
  readonly events: TurnsEvents;
}

export interface OnceQuestion {
  readonly place: Place;
  readonly download: DownloadOptions & { readonly client: Pick<RegistryClient, 'headBlob'> };
  /** What the origin has told of the size when it said yes to this caller; undefined when it has not been asked. */
  readonly provedBytes: number | undefined;
  /** What came from this origin and is in the store by now. */
  readonly stored: () => Promise<Content | undefined>;
  /** Is the repository, which this caller may read, known to hold it by now? Then the origin need not be asked. */
  readonly isHeld: () => Promise<boolean>;
  /** Was it fetched here a moment ago, maybe since this caller's look into the store? Then that needs no turn. */
  readonly isRecent?: boolean;
  /** Has the store given no answer a moment ago? */
  readonly isStoreAway?: (() => boolean) | undefined;
}

/** A download that no other replica makes at the same time, or that another replica makes. */
export interface SharedDownload extends StartedDownload, AsyncDisposable {
  /** It was in the store when this replica's turn had come: there is nothing to take in. */
  readonly isStored: boolean;
  /** Another replica takes the same content into the store. */
  readonly isCopy: boolean;
  /** Gives the turn back: when the content is committed, or will not be. */
  [Symbol.asyncDispose](): Promise<void>;
}

/** What is left of a download to do when it has begun. */
export type Taking = Pick<SharedDownload, 'into' | 'cancel' | typeof Symbol.asyncDispose>;

/** There is nothing left. */
export const NOTHING_MISSING: Taking = {
  into: () => Promise.resolve(),
  cancel: () => undefined,
  [Symbol.asyncDispose]: () => Promise.resolve(),
};

/** Gives up what has begun, if it has, and the turn with it. */
export async function abandon(started: Taking | undefined): Promise<void> {
  started?.cancel();
  await started?.[Symbol.asyncDispose]();
}

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

  /** Turns at an object, for who fetches it as a whole. */
  turns(place: Place, digest: Digest): Turns {
    return new Turns({ ...this.#options, place, digest });
  }

  /** What a holder has, or is just getting, of a registry's content. */
  source(holder: Holder, registry: Registry): BlobSource {
    return this.#options.replicas.source(holder, { registry });
  }

  /**
   * Begins as `startDownload` does. That another replica has got the content says nothing about this caller: the origin
   * has said yes to it before, or says so to the download or to a HEAD; or the holder, or the record of what has come
   * meanwhile, names the very repository of which this caller has a grant.
   *
   * @throws OciError see `RegistryClient.getBlob` and `RegistryClient.headBlob`
   */
  async start(question: OnceQuestion, missing?: ByteRange): Promise<SharedDownload> {
    const turns = this.turns(question.place, question.download.digest);
    try {
      return await begin(turns, this.#options.replicas, question, missing);
    } catch (error) {
      await turns[Symbol.asyncDispose]();
      throw error;
    }
  }
}

async function begin(
  turns: Turns,
  replicas: Replicas,
  question: OnceQuestion,
  missing: ByteRange | undefined,
): Promise<SharedDownload> {
  const { download, stored, provedBytes } = question;
  if (question.isRecent === true && !missing) {
    await using content = await stored();
    if (content) {
      return { sizeBytes: await provedSize(question, content), isStored: true, isCopy: false, ...NOTHING_MISSING };
    }
  }
  const turn = await turns.next();
  await using content = turn.kind === 'held' ? undefined : await stored();
  // Those who wait have had their answer already when only a part is missing.
  let sizeBytes = missing?.end ?? provedBytes;
  let started: StartedDownload | undefined;
  if (turn.kind === 'held') {
    if (sizeBytes === undefined) started = await startAt(turn.holder, replicas, question);
  } else if (!content) {
    turns.fetches({ isStoreAway: question.isStoreAway?.() === true });
    started = await startDownload(withLoss(download, turn), missing);
  }
  sizeBytes = started?.sizeBytes ?? sizeBytes;
  sizeBytes ??= await provedSize(question, content);
  return {
    sizeBytes,
    isStored: content !== undefined,
    isCopy: turn.kind === 'held',
    cancel: () => started?.cancel(),
    into: async (ingest) => {
      for (let now = turn, first = started; ; now = await turns.next(), first = undefined) {
        if (await take(now, first, ingest, turns, replicas, question)) return;
      }
    },
    [Symbol.asyncDispose]: async () => await turns[Symbol.asyncDispose](),
  };
}

/** The size, when it is right that this caller may know it: by what is recorded, or by what the origin says to it. */
async function provedSize({ download, provedBytes, isHeld }: OnceQuestion, content?: Content): Promise<number> {
  if (provedBytes !== undefined) return provedBytes;
  if (content && (await isHeld())) return content.sizeBytes;
  return (await download.client.headBlob(download.repository, download.digest, download)).sizeBytes;
}

/** Takes in all that this turn gives. @returns whether that is everything; if not, it is somebody else's turn now */
async function take(
  turn: Turn,
  begun: StartedDownload | undefined,
  ingest: Ingest,
  turns: Turns,
  replicas: Replicas,
  question: OnceQuestion,
): Promise<boolean> {
  const { download, stored } = question;
  const { signal } = download;
  const whole = { start: 0, end: ingest.sizeBytes };
  const gap = ingest.gaps(whole)[0];
  if (!begun && !gap) return true;
  if (turn.kind === 'held') {
    const before = missingBytes(ingest);
    const nextAtMs = performance.now() + RETRY_MS;
    try {
      const { registry } = question.place;
      const source = replicas.source(turn.holder, { registry });
      await (begun ?? (await startDownload(from(source, download), gap))).into(ingest);
      return true;
    } catch (error) {
      signal.throwIfAborted();
      if (ingest.failure) throw error;
      if (missingBytes(ingest) === before) {
        turns.isStuck(turn.holder);
        await delay(Math.max(0, nextAtMs - performance.now()), undefined, { signal });
      }
      return false;
    }
  }

  try {
    await using content = begun ? undefined : await stored();
    if (content) {
      await copy(content, ingest, signal);
      return true;
    }
    if (!begun) turns.fetches();
    await (begun ?? (await startDownload(withLoss(download, turn), gap))).into(ingest);
    return true;
  } catch (error) {
    const isLost = turn.kind === 'acquired' && turn.lease.lost.aborted;
    if (!isLost || signal.aborted || ingest.failure) throw error;
    return false;
  }
}

/** Undefined when the holder does not read it for this repository, or is not there. */
async function startAt(
  holder: Holder,
  replicas: Replicas,
  { place, download }: OnceQuestion,
): Promise<StartedDownload | undefined> {
  try {
    return await startDownload(from(replicas.source(holder, place), download));
  } catch {
    download.signal.throwIfAborted();
    return undefined; // the origin tells whether this caller may read it
  }
}

/** What comes from another replica, over one connection in order: what is far ahead may take it a while. */
function from(client: BlobSource, download: DownloadOptions): DownloadOptions {
  return { ...download, client, pace: undefined, received: () => undefined, connections: 1, breaks: 1 };
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
