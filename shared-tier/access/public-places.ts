import { createHash } from 'node:crypto';
import { mkdir, readFile, readdir, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { LRUCache } from 'lru-cache';
import { atMost } from '../../content/at-most.ts';
import { z } from 'zod';
import type { Layout } from '../../content/layout.ts';
import { type Digest, isDigest } from '../../oci/digest.ts';
import type { Reference } from '../../oci/reference.ts';
import { type Place, placeKey } from '../records.ts';
import { RecordFiles } from '../record-files.ts';

const recordSchema = z.object({
  place: z.string(),
  /** When an anonymous caller was last allowed to read it, in ms since 1970. */
  provedAtMs: z.number(),
  /** The digests of tags then, in the order in which they were noted. */
  tags: z.array(z.tuple([z.string(), z.string()])).transform((tags) => new Map(tags)),
});
type PublicRecord = z.infer<typeof recordSchema>;

export interface PublicPlacesOptions {
  readonly layout: Layout;
  /** A record could not be written: after a restart the repository has to be proved again. */
  readonly failed: (error: unknown) => void;
  /** False: nothing is ever served without the origin, and nothing is recorded. */
  readonly isEnabled: boolean;
}

/** How long a repository counts as public after an anonymous caller could read it. */
const PUBLIC_MS = 24 * 3_600_000;
/** A proof that says what is known already is written down when the one on disk is older than this. */
const REWRITE_MS = 10 * 60_000;
const MAX_PLACES = 10_000;
const MAX_TAGS = 1_000;

/**
 * Repositories that anonymous callers could read within the last day, and what their tags meant: what may be served
 * when the origin cannot be asked. One small file each, so that a restart does not forget them.
 */
export class PublicPlaces {
  readonly #isEnabled: boolean;
  readonly #directory: string;
  readonly #files: RecordFiles;
  readonly #places: LRUCache<string, PublicRecord>;
  readonly #writtenAtMs = new Map<string, number>();

  private constructor({ layout, failed, isEnabled }: PublicPlacesOptions) {
    this.#isEnabled = isEnabled;
    this.#directory = layout.publicPlaces;
    this.#files = new RecordFiles(() => layout.temporary(), failed);
    this.#places = new LRUCache({
      ...atMost(MAX_PLACES),
      dispose: (_record, key, reason) => {
        if (reason === 'evict') this.#drop(key);
      },
    });
  }

  /** Reads what was written down; what cannot be read or is over is dropped. */
  static async open(options: PublicPlacesOptions): Promise<PublicPlaces> {
    const places = new PublicPlaces(options);
    const { publicPlaces: directory } = options.layout;
    await mkdir(directory, { recursive: true });
    for (const name of await readdir(directory)) {
      const record = await readRecord(join(directory, name));
      if (options.isEnabled && record && name === fileName(record.place) && isRecent(record)) {
        places.#places.set(record.place, record);
        places.#writtenAtMs.set(record.place, record.provedAtMs);
      } else await rm(join(directory, name), { force: true });
    }
    return places;
  }

  /** An anonymous caller was allowed to read this. */
  proved(place: Place, reference: Reference, digest: Digest | undefined): void {
    if (!this.#isEnabled) return;
    const key = placeKey(place);
    const record = this.#places.get(key) ?? { place: key, provedAtMs: 0, tags: new Map() };
    record.provedAtMs = Date.now();
    this.#places.set(key, record);
    const isNews = reference.kind === 'tag' && digest !== undefined && tagged(record, reference.tag, digest);
    if (isNews || record.provedAtMs - (this.#writtenAtMs.get(key) ?? 0) > REWRITE_MS) this.#write(key);
  }

  /** There is no such tag for anonymous callers (any more). */
  gone(place: Place, reference: Reference): void {
    const key = placeKey(place);
    if (reference.kind === 'tag' && this.#places.peek(key)?.tags.delete(reference.tag)) this.#write(key);
  }

  /** The origin does not let anonymous callers read it (any more). */
  refused(place: Place): void {
    if (this.#places.delete(placeKey(place))) this.#drop(placeKey(place));
  }

  /** Could anonymous callers read it within the last day? */
  has(place: Place): boolean {
    const record = this.#places.get(placeKey(place));
    return record !== undefined && isRecent(record);
  }

  /** What the tag meant when an anonymous caller last asked. */
  tag(place: Place, tag: string): Digest | undefined {
    const digest = this.#places.get(placeKey(place))?.tags.get(tag) ?? '';
    return isDigest(digest) ? digest : undefined;
  }

  /** Waits for what is being written. */
  async settled(): Promise<void> {
    await this.#files.settled();
  }

  #write(key: string): void {
    this.#writtenAtMs.set(key, Date.now());
    this.#sync(key);
  }

  #drop(key: string): void {
    this.#writtenAtMs.delete(key);
    this.#sync(key);
  }

  #sync(key: string): void {
    this.#files.write(join(this.#directory, fileName(key)), () => {
      const record = this.#places.peek(key);
      return record && { ...record, tags: [...record.tags] };
    });
  }
}

/** Notes what the tag means; false when that is known. The tag that was noted first makes room. */
function tagged({ tags }: PublicRecord, tag: string, digest: Digest): boolean {
  if (tags.get(tag) === digest) return false;
  tags.set(tag, digest);
  const [oldest] = tags.keys();
  if (oldest !== undefined && tags.size > MAX_TAGS) tags.delete(oldest);
  return true;
}

/** A clock that was put back must not make it public for longer. */
function isRecent({ provedAtMs }: PublicRecord): boolean {
  const ageMs = Date.now() - provedAtMs;
  return ageMs >= -60_000 && ageMs < PUBLIC_MS;
}

function fileName(key: string): string {
  return `${createHash('sha256').update(key).digest('hex')}.json`;
}

async function readRecord(path: string): Promise<PublicRecord | undefined> {
  try {
    return recordSchema.parse(JSON.parse(await readFile(path, 'utf8')));
  } catch {
    return undefined; // torn by a crash, or not ours
  }
}
