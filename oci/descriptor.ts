import { type Digest, isDigest } from './digest.ts';
import { OciError } from './error.ts';

/** What one object is: https://github.com/opencontainers/image-spec/blob/main/descriptor.md */
export interface Descriptor {
  readonly mediaType: string;
  readonly digest: Digest;
  readonly sizeBytes: number;
}

/** Largest manifest that is read: what the distribution spec asks registries to accept, and containerd's own limit. */
export const MAX_MANIFEST_BYTES = 4 * 1024 * 1024;

/** Most objects one manifest may name; more is not an image that anybody built. */
const MAX_LINKS = 10_000;

export const OCI_INDEX = 'application/vnd.oci.image.index.v1+json';
const INDEX_TYPES = [OCI_INDEX, 'application/vnd.docker.distribution.manifest.list.v2+json'];
const IMAGE_TYPES = [
  'application/vnd.oci.image.manifest.v1+json',
  'application/vnd.docker.distribution.manifest.v2+json',
];
const ARTIFACT_TYPE = 'application/vnd.oci.artifact.manifest.v1+json';

/** The Accept list towards origins when a client sent none that names a manifest. */
export const MANIFEST_MEDIA_TYPES: readonly string[] = [...INDEX_TYPES, ...IMAGE_TYPES, ARTIFACT_TYPE];

/** Schema 1 is no longer pulled by anything that circ serves, so it is not a manifest here. */
export function isManifestMediaType(mediaType: string): boolean {
  return MANIFEST_MEDIA_TYPES.includes(mediaType);
}

/** Does who sent this Accept list take this media type? One that sent none takes all. */
export function accepts(accept: readonly string[], mediaType: string): boolean {
  return accept.length === 0 || [mediaType, '*/*', 'application/*'].some((each) => accept.includes(each));
}

/** What a manifest names: its children (manifests) and its blobs (config and layers). */
export interface ManifestLinks {
  readonly manifests: readonly Descriptor[];
  readonly blobs: readonly Descriptor[];
}

/**
 * Reads what a manifest names. `urls` of foreign layers are not looked at: they would be somebody else's choice of
 * what circ dials. Entries that no digest of ours can name are left out: they cannot be asked for either.
 *
 * @throws OciError CORRUPT when the bytes are no manifest of that media type
 */
export function parseManifestLinks(bytes: Uint8Array, mediaType: string): ManifestLinks {
  const manifest = parseObject(bytes);
  // https://github.com/opencontainers/image-spec/security/advisories/GHSA-77vh-xpmg-72qh: what says two things is refused
  const inside = manifest['mediaType'];
  if (typeof inside === 'string' && inside !== mediaType) {
    throw new OciError('CORRUPT', 'the manifest says another media type than its registry');
  }
  if ('manifests' in manifest && ('layers' in manifest || 'config' in manifest)) {
    throw new OciError('CORRUPT', 'the manifest is both an index and an image');
  }
  if (INDEX_TYPES.includes(mediaType)) return { manifests: descriptors(manifest['manifests']), blobs: [] };
  return {
    manifests: [],
    blobs: [
      ...descriptors([manifest['config']]),
      ...descriptors(manifest['layers']),
      ...descriptors(manifest['blobs']),
    ],
  };
}

/**
 * The media type of a manifest: what its registry says, or, of registries that say `application/json` or nothing of
 * use, what the manifest says itself.
 *
 * @throws OciError CORRUPT when the bytes are no JSON object
 */
export function manifestMediaType(bytes: Uint8Array, told: string): string {
  if (isManifestMediaType(told)) return told;
  const inside = parseObject(bytes)['mediaType'];
  return typeof inside === 'string' && isManifestMediaType(inside) ? inside : told;
}

function parseObject(bytes: Uint8Array): Record<string, unknown> {
  let value: unknown;
  try {
    value = JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(bytes));
  } catch (cause) {
    throw new OciError('CORRUPT', 'the manifest is not JSON', { cause });
  }
  if (!isRecord(value)) throw new OciError('CORRUPT', 'the manifest is not a JSON object');
  return value;
}

function descriptors(list: unknown): Descriptor[] {
  if (!Array.isArray(list)) return [];
  if (list.length > MAX_LINKS) throw new OciError('CORRUPT', `the manifest names more than ${MAX_LINKS} objects`);
  return list.flatMap((entry: unknown) => {
    if (!isRecord(entry)) return [];
    const { mediaType, digest, size } = entry;
    if (typeof digest !== 'string' || !isDigest(digest)) return [];
    if (typeof size !== 'number' || !Number.isSafeInteger(size) || size < 0) return [];
    return [{ mediaType: typeof mediaType === 'string' ? mediaType : '', digest, sizeBytes: size }];
  });
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
