import { randomUUID } from 'node:crypto';
import { join } from 'node:path';
import { type Digest, algorithmOf, hexOf, isDigest } from '../oci/digest.ts';

/**
 * The only place that makes paths of the store:
 *
 *     DIRECTORY/lock                       held by the process that uses the directory (directory-lock.ts)
 *     DIRECTORY/v1/                        format version: another format is another directory
 *       blobs/sha256/4b/4bf5…              committed content; its mtime is its last use
 *       ingest/<uuid>                      content on its way in, and files on their way out; dropped at start
 *       records/…                          the shared tier's records (shared-tier/records.ts)
 *       id                                 of the shared tier's store, random (shared-tier/store-id.ts)
 *       public/…                           the same of repositories (shared-tier/access/public-places.ts)
 */
export class Layout {
  readonly blobs: string;
  readonly ingests: string;
  readonly records: string;
  readonly id: string;
  readonly publicPlaces: string;
  readonly lock: string;

  constructor(directory: string) {
    const root = join(directory, 'v1');
    this.blobs = join(root, 'blobs');
    this.ingests = join(root, 'ingest');
    this.records = join(root, 'records');
    this.id = join(root, 'id');
    this.publicPlaces = join(root, 'public');
    this.lock = join(directory, 'lock');
  }

  blob(digest: Digest): string {
    const hex = hexOf(digest);
    return join(this.blobs, algorithmOf(digest), hex.slice(0, 2), hex);
  }

  temporary(): string {
    return join(this.ingests, randomUUID());
  }

  /** The digest whose content belongs at `blobs/<path>`; undefined for a file that is not ours. */
  digestAt(path: string): Digest | undefined {
    const [algorithm, , hex] = path.split('/');
    const text = `${algorithm}:${hex}`;
    return isDigest(text) && this.blob(text) === join(this.blobs, path) ? text : undefined;
  }
}
