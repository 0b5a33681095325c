import { z } from 'zod';
import { MANIFEST_MEDIA_TYPES, OCI_INDEX } from '../oci/descriptor.ts';
import { type Digest, algorithmOf, hexOf } from '../oci/digest.ts';
import { OciError } from '../oci/error.ts';
import type { Reference, Repository } from '../oci/reference.ts';
import type { ManifestOptions, RegistryClient } from './origin/registry-client.ts';

/** What is listed of one manifest that refers to another. */
export type Referrer = z.infer<typeof referrerSchema>;

const referrerSchema = z.looseObject({ digest: z.string(), artifactType: z.string().optional() });
const indexSchema = z.object({ manifests: z.array(z.unknown()) });

/**
 * The tag under which the list of a manifest's referrers is kept where a registry has no API for it.
 * https://github.com/opencontainers/distribution-spec/blob/main/spec.md#referrers-tag-schema
 */
export function referrersTag(subject: Digest): Reference & { readonly kind: 'tag' } {
  return { kind: 'tag', tag: `${algorithmOf(subject)}-${hexOf(subject).slice(0, 64)}` };
}

/** What is listed there. Without such a tag, and where it names something else, there is nothing. */
export async function readReferrersTag(
  registry: Pick<RegistryClient, 'getManifest'>,
  repository: Repository,
  subject: Digest,
  options: Omit<ManifestOptions, 'accept'>,
): Promise<Referrer[]> {
  try {
    const accept = MANIFEST_MEDIA_TYPES;
    const { content, mediaType } = await registry.getManifest(repository, referrersTag(subject), {
      accept,
      ...options,
    });
    return mediaType === OCI_INDEX ? referrersIn(content) : [];
  } catch (reason) {
    const error = OciError.from(reason);
    if (error.code !== 'MANIFEST_UNKNOWN' || error.denied) throw error;
    return [];
  }
}

/** The list as it is kept, and as it is answered. */
export function formatReferrers(manifests: readonly Referrer[]): Buffer {
  return Buffer.from(JSON.stringify({ schemaVersion: 2, mediaType: OCI_INDEX, manifests }));
}

function referrersIn(content: Buffer): Referrer[] {
  try {
    const { manifests } = indexSchema.parse(JSON.parse(content.toString()));
    return manifests.flatMap((each) => referrerSchema.safeParse(each).data ?? []);
  } catch {
    return []; // a tag that is no list of referrers
  }
}
