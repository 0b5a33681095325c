import { mkdir, readFile, readdir, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { z } from 'zod';
import type { Layout } from '../content/layout.ts';
import { type Digest, algorithmOf, hexOf, isDigest } from '../oci/digest.ts';
import type { Registry, Repository } from '../oci/reference.ts';
import { RecordFiles } from './record-files.ts';

/** A repository of an origin. */
export interface Place {
  readonly registry: Registry;
  readonly repository: Repository;
}

/** Of which registry content is read, and, if that matters, of which repository. */
export type ReadPlace = Pick<Place, 'registry'> & Partial<Place>;

const recordSchema = z.object({
  digest: z.string(),
  /** Registries all of whose bytes circ itself has hashed. */
  has: z.array(z.string()),
  /** `registry/repository` → media type there. */
  holds: z.record(z.string(), z.string()),
});
type Record = z.infer<typeof recordSchema>;
type Holds = Record['holds'];

/** Repositories remembered for one content. A registry could say yes to any number of names. */
const MAX_HOLDERS = 1_000;

/**
 * What is known of who delivered content, and where it may be read:
 *
 * - `has(O, D)`: circ itself hashed all bytes of D as they came from O;
 * - `holds(O, R, D)`: D was fetched from R, or O said yes to a proof on D in R.
 *
 * Content is served for (O, R) only if both are recorded, so that one origin's bytes, or lies, never answer for
 * another's. Records live with the store and end with the content. None of it throws: what cannot be read is not known,
 * and what cannot be written is right in this process only.
 */
export interface Records {
  /** Did all bytes come from this registry? */
  hasFrom(registry: Registry, digest: Digest): Promise<boolean>;

  /** The media type under which the repository holds the content; undefined when it is not known to hold it. */
  heldAs(place: Place, digest: Digest): Promise<string | undefined>;

  /** The repositories that are known to hold the content, as `placeKey` names them. */
  placesOf(digest: Digest): Promise<readonly string[]>;

  /** All bytes came from this repository, and are committed. When it is settled, every replica can know. */
  fetched(place: Place, digest: Digest, mediaType: string): Promise<void>;

  /** The origin said yes to a proof on this content in this repository. Kept only while there is content to serve. */
  proved(place: Place, digest: Digest, mediaType: string): void;

  /** The repository does not hold it any more. @returns true when the content is here, and no other one is known to */
  deleted(place: Place, digest: Digest): Promise<boolean>;

  /** Did they give no answer a moment ago? Then a no of theirs may be wrong. */
  readonly isAway?: boolean;

  /** Waits for what is being written. */
  settled(): Promise<void>;
}

/** Records in files beside a store in a directory: all of them in memory, for one process. */
export class FileRecords implements Records {
  readonly #layout: Layout;
  readonly #files: RecordFiles;
  readonly #records = new Map<Digest, Record>();

  private constructor(layout: Layout, failed: (error: unknown) => void) {
    this.#layout = layout;
    this.#files = new RecordFiles(() => layout.temporary(), failed);
  }

  /**
   * Reads all records. Those that cannot be read are dropped, and their content will be fetched again when asked for;
   * so are those whose content has gone, as after a crash in the middle of an eviction.
   */
  static async open(
    layout: Layout,
    isStored: (digest: Digest) => Promise<boolean>,
    failed: (error: unknown) => void,
  ): Promise<FileRecords> {
    const records = new FileRecords(layout, failed);
    await mkdir(layout.records, { recursive: true });
    const entries = await readdir(layout.records, { recursive: true, withFileTypes: true });
    for (const entry of entries.filter((each) => each.isFile())) {
      const path = join(entry.parentPath, entry.name);
      const record = await readRecord(path);
      const isOurs = record && isDigest(record.digest) && records.#path(record.digest) === path;
      if (isOurs && (await isStored(record.digest as Digest))) records.#records.set(record.digest as Digest, record);
      else await rm(path, { force: true });
    }
    return records;
  }

  async hasFrom(registry: Registry, digest: Digest): Promise<boolean> {
    return this.#records.get(digest)?.has.includes(registry) ?? false;
  }

  async heldAs(place: Place, digest: Digest): Promise<string | undefined> {
    return this.#records.get(digest)?.holds[placeKey(place)];
  }

  async placesOf(digest: Digest): Promise<readonly string[]> {
    return Object.keys(this.#records.get(digest)?.holds ?? {});
  }

  async fetched(place: Place, digest: Digest, mediaType: string): Promise<void> {
    const { has, holds } = this.#records.get(digest) ?? { has: [], holds: {} };
    const record = { digest, has: withRegistry(has, place), holds: withHold(holds, place, mediaType) };
    this.#records.set(digest, record);
    this.#write(digest);
  }

  proved(place: Place, digest: Digest, mediaType: string): void {
    const record = this.#records.get(digest);
    if (!record || record.holds[placeKey(place)] === mediaType) return;
    this.#records.set(digest, { ...record, holds: withHold(record.holds, place, mediaType) });
    this.#write(digest);
  }

  async deleted(place: Place, digest: Digest): Promise<boolean> {
    const record = this.#records.get(digest);
    if (!record) return false;
    const holds = withoutHold(record.holds, place);
    this.#records.set(digest, { ...record, holds });
    this.#write(digest);
    return isEmpty(holds);
  }

  /** The content is gone. */
  forget(digest: Digest): void {
    if (this.#records.delete(digest)) this.#write(digest);
  }

  async settled(): Promise<void> {
    await this.#files.settled();
  }

  #write(digest: Digest): void {
    this.#files.write(this.#path(digest), () => this.#records.get(digest));
  }

  #path(digest: Digest): string {
    const hex = hexOf(digest);
    return join(this.#layout.records, algorithmOf(digest), hex.slice(0, 2), `${hex}.json`);
  }
}

export function withRegistry(has: readonly string[], { registry }: Place): string[] {
  return has.includes(registry) ? [...has] : [...has, registry];
}

/** The one that has been known longest makes room: it is asked for a proof again. */
export function withHold(known: Holds, place: Place, mediaType: string): Holds {
  const holds = { ...known, [placeKey(place)]: mediaType };
  const [oldest, ...others] = Object.keys(holds);
  if (oldest !== undefined && others.length >= MAX_HOLDERS) delete holds[oldest];
  return holds;
}

export function withoutHold(known: Holds, place: Place): Holds {
  const holds = { ...known };
  delete holds[placeKey(place)];
  return holds;
}

export function isEmpty(holds: Holds): boolean {
  return Object.keys(holds).length === 0;
}

/** A repository's one name among those of all origins. */
export function placeKey({ registry, repository }: Place): string {
  return `${registry}/${repository}`;
}

async function readRecord(path: string): Promise<Record | undefined> {
  try {
    return recordSchema.parse(JSON.parse(await readFile(path, 'utf8')));
  } catch {
    return undefined; // torn by a crash, or not ours
  }
}

/** What `placeKey` has made a name of. */
export function placeOfKey(key: string): Place {
  const at = key.indexOf('/');
  return { registry: key.slice(0, at) as Registry, repository: key.slice(at + 1) as Repository };
}
