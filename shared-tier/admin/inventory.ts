import { setImmediate } from 'node:timers/promises';
import type { ContentStore } from '../../content/store.ts';
import type { Digest } from '../../oci/digest.ts';
import type { Records } from '../records.ts';
import { SharedFlight } from '../shared-flight.ts';

/** Content in the store. */
export interface StoredContent {
  readonly digest: Digest;
  readonly sizeBytes: number;
}

/** A repository of which something is stored. */
export interface Holding {
  /** `registry/repository` */
  readonly place: string;
  readonly blobs: number;
  readonly bytes: number;
}

/** What repositories hold, the names in order. */
export interface Holdings {
  readonly holdings: readonly Holding[];
  /** There was more than could be looked at. */
  readonly isIncomplete: boolean;
}

export interface Page<Row> {
  readonly rows: readonly Row[];
  /** Where the next page begins; empty on the last one. */
  readonly next: string;
}

export interface InventoryOptions {
  readonly store: ContentStore;
  readonly records: Records;
}

/** So long a list of repositories serves all who ask: making it looks at every record. */
const FRESH_MS = 10_000;
const GATHER_MS = 15_000;
const MAX_REPOSITORIES = 100_000;
/** Records that are read at once: with a bucket each is a request. */
const AT_ONCE = 16;
/** Others get a turn of the event loop after so many. */
const BREATH = 512;

/** What is stored, in answers of a bounded size. */
export class Inventory {
  readonly #options: InventoryOptions;
  readonly #gathering = new SharedFlight<Holdings>();
  #gathered: (Holdings & { readonly atMs: number }) | undefined;

  constructor(options: InventoryOptions) {
    this.#options = options;
  }

  /** What repositories hold; some seconds old. */
  async holdings(): Promise<Holdings> {
    const known = this.#gathered;
    if (known && performance.now() - known.atMs < FRESH_MS) return known;
    return await this.#gathering.run('', async () => {
      this.#gathered = { ...(await this.#gather()), atMs: performance.now() };
      return this.#gathered;
    });
  }

  /** Everything that is stored, or what one repository (`registry/repository`) holds. */
  async *contents(place?: string): AsyncGenerator<StoredContent, void, undefined> {
    let seen = 0;
    for await (const content of this.#options.store.list()) {
      if ((seen += 1) % BREATH === 0) await setImmediate();
      if (place === undefined || (await this.#options.records.placesOf(content.digest)).includes(place)) yield content;
    }
  }

  /** The contents behind a digest, in the order of their digests. @param after empty for the first page */
  async page(size: number, after: string, place?: string): Promise<Page<StoredContent>> {
    // As many as fit are kept in order; most of a large store is only looked at.
    const rows: StoredContent[] = [];
    for await (const content of this.contents(place)) {
      const last = rows.length > size ? rows.at(-1) : undefined;
      if (content.digest <= after || (last && content.digest >= last.digest)) continue;
      rows.splice(placeFor(rows, content.digest), 0, content);
      if (rows.length > size + 1) rows.pop();
    }
    const isMore = rows.length > size;
    if (isMore) rows.pop();
    return { rows, next: isMore ? (rows.at(-1)?.digest ?? '') : '' };
  }

  async #gather(): Promise<Holdings> {
    const endsAtMs = performance.now() + GATHER_MS;
    const found = new Map<string, { blobs: number; bytes: number }>();
    let isIncomplete = false;
    const batch: StoredContent[] = [];
    const count = async (): Promise<void> => {
      const { records } = this.#options;
      const all = await Promise.all(batch.map(async ({ digest }) => await records.placesOf(digest)));
      for (const [index, { sizeBytes }] of batch.entries()) {
        for (const place of all[index] ?? []) {
          const { blobs, bytes } = found.get(place) ?? { blobs: 0, bytes: 0 };
          if (found.size < MAX_REPOSITORIES || found.has(place)) {
            found.set(place, { blobs: blobs + 1, bytes: bytes + sizeBytes });
          } else isIncomplete = true;
        }
      }
      batch.length = 0;
    };
    for await (const content of this.contents()) {
      if (performance.now() > endsAtMs) {
        isIncomplete = true;
        break;
      }
      if (batch.push(content) >= AT_ONCE) await count();
    }
    await count();
    const holdings = Array.from(found, ([place, counts]) => ({ place, ...counts }));
    return { holdings: holdings.toSorted((a, b) => (a.place < b.place ? -1 : 1)), isIncomplete };
  }
}

/** Where in rows that are in order a digest belongs. */
function placeFor(rows: readonly StoredContent[], digest: Digest): number {
  let [low, high] = [0, rows.length];
  while (low < high) {
    const middle = (low + high) >>> 1;
    if ((rows[middle]?.digest ?? '') < digest) low = middle + 1;
    else high = middle;
  }
  return low;
}
