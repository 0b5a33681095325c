import { z } from 'zod';
import { MANIFEST_MEDIA_TYPES, OCI_INDEX, manifestMediaType } from '../../oci/descriptor.ts';
import { type Digest, digestOf, isDigest } from '../../oci/digest.ts';
import { OneByOne } from '../one-by-one.ts';
import { placeKey } from '../records.ts';
import { type Referrer, formatReferrers, readReferrersTag, referrersTag } from '../referrers-tag.ts';
import type { Shelf } from './shelf.ts';
import type { Visit } from './uploads.ts';

const referringSchema = z.object({
  subject: z.object({ digest: z.string().refine(isDigest) }),
  artifactType: z.string().optional(),
  config: z.object({ mediaType: z.string() }).optional(),
  annotations: z.record(z.string(), z.string()).optional(),
});

type At = Pick<Visit, 'client' | 'pusher'>;

/** A manifest that the origin has taken. */
export interface PushedManifest {
  readonly digest: Digest;
  /** Its media type, as its pusher tells it. */
  readonly told: string;
  readonly content: Uint8Array;
}

/**
 * Lists what refers to a manifest, until it is deleted, under the tag for that, at origins that do not do so themselves.
 * Clients would do it as well; but the shared tier answers the referrers API out of that tag, and some
 * (go-containerregistry, and so cosign) take that for a registry that keeps the list.
 * https://github.com/opencontainers/distribution-spec/blob/main/spec.md#pushing-manifests-with-subject
 */
export class ReferrersList {
  readonly #shelf: Shelf;
  /** Each change reads the list first. */
  readonly #changes = new OneByOne();

  constructor(shelf: Shelf) {
    this.#shelf = shelf;
  }

  /** @returns the subject under which it is listed now; undefined when it has none, or the origin takes no such list */
  async add({ client, pusher }: At, { digest, told, content }: PushedManifest): Promise<Digest | undefined> {
    const referring = parseReferring(content);
    if (!referring) return undefined;
    const { subject, ...about } = referring;
    const referrer = { ...about, mediaType: manifestMediaType(content, told), digest, size: content.length };
    try {
      await this.#change({ client, pusher }, subject, (known) =>
        known.some((each) => each.digest === digest) ? known : [...known, referrer],
      );
      return subject;
    } catch {
      return undefined; // as the origin itself has answered: its client keeps the list then, and learns why it cannot
    }
  }

  /** What the manifest refers to, for when it will have been deleted. */
  async subjectOf({ client, pusher }: At, digest: Digest): Promise<Digest | undefined> {
    const options = { ...pusher, accept: MANIFEST_MEDIA_TYPES };
    try {
      const { content } = await client.registry.getManifest(pusher.repository, { kind: 'digest', digest }, options);
      return parseReferring(content)?.subject;
    } catch {
      return undefined; // the deletion will tell what is wrong
    }
  }

  /** It has been deleted, whether or not the origin takes the list without it: readers of the list find it gone. */
  async remove(at: At, subject: Digest, digest: Digest): Promise<void> {
    await this.#change(at, subject, (known) => known.filter((each) => each.digest !== digest)).catch(() => undefined);
  }

  async #change({ client, pusher }: At, subject: Digest, change: (known: Referrer[]) => Referrer[]): Promise<void> {
    const { repository } = pusher;
    const place = { registry: client.origin.registry, repository };
    await this.#changes.run(`${placeKey(place)} ${subject}`, async () => {
      const known = await readReferrersTag(client.registry, repository, subject, pusher);
      const changed = change(known);
      if (changed.length === known.length) return;
      const content = formatReferrers(changed);
      await client.pusher.putManifest(referrersTag(subject), { content, mediaType: OCI_INDEX, tags: [] }, pusher);
      await this.#shelf.manifest(place, digestOf(content), content, OCI_INDEX);
    });
  }
}

/** Undefined for what refers to nothing. */
function parseReferring(
  content: Uint8Array,
): { subject: Digest; artifactType?: string; annotations?: Record<string, string> } | undefined {
  let manifest: unknown;
  try {
    manifest = JSON.parse(Buffer.from(content).toString());
  } catch {
    return undefined; // it is the origin's to refuse
  }
  const { data } = referringSchema.safeParse(manifest);
  if (!data) return undefined;
  const artifactType = data.artifactType ?? data.config?.mediaType;
  const { annotations } = data;
  return {
    subject: data.subject.digest,
    ...(artifactType !== undefined && { artifactType }),
    ...(annotations && { annotations }),
  };
}
