import { createHash } from 'node:crypto';
import { type Digest, algorithmOf, hexOf, isDigest } from '../../oci/digest.ts';

/**
 * The only place that makes keys of the bucket:
 *
 *     PREFIX/v1/                           format version: another format is another place
 *       id                                 random id of the store
 *       blobs/sha256/4b/4bf5…              content
 *       records/sha256/4b/4bf5….json       what is known of it, or that it is deleted (catalog.ts)
 *       deleted/sha256/4b/4bf5…            empty; the bytes of this content are to be removed (collector.ts)
 *       public/<sha256 of the name>.json   a repository that anybody could read, and its tags (s3-public-records.ts)
 *       uses/<uuid>-<n>.json               what one replica has read in the last minutes (uses.ts)
 *       uses.json                          the same of all replicas until the collector's last round
 *       usage.json                         how much there is, by the collector's last round
 */
export const keys = {
  id: 'v1/id',
  blobs: 'v1/blobs/',
  deletions: 'v1/deleted/',
  publicPlaces: 'v1/public/',
  uses: 'v1/uses/',
  allUses: 'v1/uses.json',
  usage: 'v1/usage.json',
  blob: (digest: Digest) => `v1/blobs/${pathOf(digest)}`,
  record: (digest: Digest) => `v1/records/${pathOf(digest)}.json`,
  publicPlace: (place: string) => `v1/public/${createHash('sha256').update(place).digest('hex')}.json`,
  deletion: (digest: Digest) => `v1/deleted/${pathOf(digest)}`,
} as const;

/** The digest that a key below `blobs` or `deletions` is of; undefined for an object that is not ours. */
export function digestIn(key: string, below: string): Digest | undefined {
  const [algorithm, , hex] = key.slice(below.length).split('/');
  const text = `${algorithm}:${hex}`;
  return isDigest(text) && key === below + pathOf(text) ? text : undefined;
}

function pathOf(digest: Digest): string {
  const hex = hexOf(digest);
  return `${algorithmOf(digest)}/${hex.slice(0, 2)}/${hex}`;
}
