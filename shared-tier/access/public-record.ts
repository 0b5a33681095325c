import { z } from 'zod';
import { type Digest, isDigest } from '../../oci/digest.ts';

/** What is known of a repository that anonymous callers could read. */
export interface PublicRecord {
  readonly place: string;
  /** When an anonymous caller was last allowed to read it, in ms since 1970. */
  readonly provedAtMs: number;
  /** What tags meant, and when that was noted; without a digest: that there was no such tag. */
  readonly tags: ReadonlyMap<string, NotedTag>;
}

export interface NotedTag {
  readonly digest: Digest | undefined;
  readonly notedAtMs: number;
}

/** How long a repository counts as public after an anonymous caller could read it. */
export const PUBLIC_MS = 24 * 3_600_000;
const MAX_TAGS = 1_000;

const recordSchema = z.object({
  place: z.string(),
  provedAtMs: z.number(),
  tags: z.array(z.tuple([z.string(), z.string(), z.number()])),
});

/** A clock that was put back must not make it public for longer. */
export function isRecent({ provedAtMs }: Pick<PublicRecord, 'provedAtMs'>): boolean {
  const ageMs = Date.now() - provedAtMs;
  return ageMs >= -60_000 && ageMs < PUBLIC_MS;
}

/** With a tag's meaning; the one that was noted first makes room. */
export function withTag(record: PublicRecord, tag: string, digest: Digest | undefined): PublicRecord {
  return { ...record, tags: latest([...record.tags, [tag, { digest, notedAtMs: Date.now() }]]) };
}

/** What two replicas know together. The latest counts, by their own clocks. */
export function merged(one: PublicRecord, other: PublicRecord): PublicRecord {
  return {
    place: one.place,
    provedAtMs: Math.max(one.provedAtMs, other.provedAtMs),
    tags: latest([...one.tags, ...other.tags]),
  };
}

export function formatRecord({ place, provedAtMs, tags }: PublicRecord): object {
  return { place, provedAtMs, tags: Array.from(tags, ([tag, { digest = '', notedAtMs }]) => [tag, digest, notedAtMs]) };
}

/** Undefined for what is torn, or not ours. */
export function parseRecord(text: string): PublicRecord | undefined {
  try {
    const { tags, ...record } = recordSchema.parse(JSON.parse(text));
    const noted = tags.map(([tag, digest, notedAtMs]) => {
      return [tag, { digest: isDigest(digest) ? digest : undefined, notedAtMs }] as const;
    });
    return { ...record, tags: new Map(noted) };
  } catch {
    return undefined;
  }
}

function latest(all: readonly (readonly [string, NotedTag])[]): ReadonlyMap<string, NotedTag> {
  // Of a tag that is there twice the later one comes later, and stays.
  const inOrder = all.toSorted(([, one], [, other]) => one.notedAtMs - other.notedAtMs);
  const tags = new Map(inOrder);
  return tags.size > MAX_TAGS ? new Map([...tags].slice(-MAX_TAGS)) : tags;
}
