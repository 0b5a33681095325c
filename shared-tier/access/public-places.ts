import { LRUCache } from 'lru-cache';
import { atMost } from '../../content/at-most.ts';
import { unlessAborted } from '../../content/unless-aborted.ts';
import type { Digest } from '../../oci/digest.ts';
import type { Reference } from '../../oci/reference.ts';
import { type Place, placeKey } from '../records.ts';
import { SharedFlight } from '../shared-flight.ts';
import { type PublicRecord, isRecent, withTag } from './public-record.ts';

/** Where records of public repositories are kept, so that a restart does not forget them. None of it throws. */
export interface PublicRecords {
  /** What is known from the start. */
  readonly known: readonly PublicRecord[];
  /** What all replicas know of a repository; absent where there is only one. */
  read?(place: string): Promise<PublicRecord | undefined | 'unknown'>;
  /** Writes what `record` says when its turn has come; undefined: there is none any more. */
  write(place: string, record: () => PublicRecord | undefined): void;
  /** A record is not in memory any more, because there are too many. */
  evicted(place: string): void;
  /** Waits for what is being written. */
  settled(): Promise<void>;
}

export interface PublicPlacesOptions {
  readonly records: PublicRecords;
  /** False: nothing is ever served without the origin, and nothing is recorded. */
  readonly isEnabled: boolean;
}

/** A proof that says what is known already is written down when the one on disk is older than this. */
const REWRITE_MS = 10 * 60_000;
const MAX_PLACES = 10_000;
/** What other replicas know is looked up so often, for repositories that somebody asks for. */
const LOOK_AGAIN_MS = 60_000;
/** That may keep a question waiting for so long. */
const LOOK_MS = 1_000;

/**
 * Repositories that anonymous callers could read within the last day, and what their tags meant: what may be served
 * when the origin cannot be asked.
 */
export class PublicPlaces {
  readonly #isEnabled: boolean;
  readonly #records: PublicRecords;
  readonly #places: LRUCache<string, PublicRecord>;
  readonly #writtenAtMs = new Map<string, number>();
  readonly #looked = new LRUCache<string, true>({ ...atMost(MAX_PLACES), ttl: LOOK_AGAIN_MS });
  readonly #looks = new SharedFlight<void>();

  constructor({ records, isEnabled }: PublicPlacesOptions) {
    this.#isEnabled = isEnabled;
    this.#records = records;
    this.#places = new LRUCache({
      ...atMost(MAX_PLACES),
      dispose: (_record, key, reason) => {
        if (reason !== 'evict') return;
        this.#writtenAtMs.delete(key);
        records.evicted(key);
      },
    });
    for (const record of records.known) {
      if (isEnabled) this.#take(record);
      else records.write(record.place, () => undefined);
    }
  }

  /** An anonymous caller was allowed to read this. */
  proved(place: Place, reference: Reference, digest: Digest | undefined): void {
    if (!this.#isEnabled) return;
    const key = placeKey(place);
    const known = this.#places.get(key) ?? { place: key, provedAtMs: 0, tags: new Map() };
    const record = { ...known, provedAtMs: Date.now() };
    const isNews = reference.kind === 'tag' && digest !== undefined && known.tags.get(reference.tag)?.digest !== digest;
    this.#places.set(key, isNews ? withTag(record, reference.tag, digest) : record);
    if (isNews || record.provedAtMs - (this.#writtenAtMs.get(key) ?? 0) > REWRITE_MS) this.#write(key);
  }

  /** There is no such tag for anonymous callers (any more). */
  gone(place: Place, reference: Reference): void {
    const key = placeKey(place);
    const record = this.#places.peek(key);
    if (reference.kind !== 'tag' || record?.tags.get(reference.tag)?.digest === undefined) return;
    this.#places.set(key, withTag(record, reference.tag, undefined));
    this.#write(key);
  }

  /** The origin does not let anonymous callers read it (any more). */
  refused(place: Place): void {
    const key = placeKey(place);
    if (!this.#places.delete(key)) return;
    this.#writtenAtMs.delete(key);
    this.#records.write(key, () => this.#places.peek(key));
  }

  /** Could anonymous callers read it within the last day, at any replica? */
  async has(place: Place): Promise<boolean> {
    if (!this.#isEnabled) return false;
    const key = placeKey(place);
    if (this.#records.read && !this.#looked.has(key)) {
      const look = this.#looks.run(key, () => this.#look(key));
      // What is known has to do when that takes long, for the next ones at once.
      await unlessAborted(look, AbortSignal.timeout(LOOK_MS)).catch(() => this.#looked.set(key, true));
    }
    const record = this.#places.get(key);
    return record !== undefined && isRecent(record);
  }

  /** What the tag meant when an anonymous caller last asked; of other replicas as of the last `has`. */
  tag(place: Place, tag: string): Digest | undefined {
    return this.#places.get(placeKey(place))?.tags.get(tag)?.digest;
  }

  /** Waits for what is being written. */
  async settled(): Promise<void> {
    await this.#records.settled();
  }

  async #look(key: string): Promise<void> {
    const record = await this.#records.read?.(key);
    this.#looked.set(key, true);
    if (record === 'unknown') return;
    if (record) this.#take(record);
    else this.#places.delete(key);
  }

  #take(record: PublicRecord): void {
    this.#places.set(record.place, record);
    this.#writtenAtMs.set(record.place, record.provedAtMs);
  }

  #write(key: string): void {
    this.#writtenAtMs.set(key, Date.now());
    this.#records.write(key, () => this.#places.peek(key));
  }
}
