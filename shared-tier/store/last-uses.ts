import { z } from 'zod';
import { type Digest, isDigest } from '../../oci/digest.ts';
import type { Bucket } from './bucket.ts';
import { keys } from './keys.ts';

const recordSchema = z.object({ usedAtMs: z.number(), digests: z.array(z.string()) });
const allSchema = z.record(z.string(), z.number());

/** Of more contents the least recently used are forgotten; then the time of their writing counts. */
const MAX_CONTENTS = 100_000;

/** When each content was used last, by any replica: what all of them have written, put together by the collector. */
export class LastUses {
  readonly #bucket: Bucket;
  readonly #usedAtMs: Map<Digest, number>;

  private constructor(bucket: Bucket, usedAtMs: Map<Digest, number>) {
    this.#bucket = bucket;
    this.#usedAtMs = usedAtMs;
  }

  /** Reads what was put together the last time. @throws OciError UNAVAILABLE, like all that follow */
  static async read(bucket: Bucket): Promise<LastUses> {
    const document = await bucket.read(keys.allUses);
    const entries = Object.entries(parse(allSchema, document?.text) ?? {});
    return new LastUses(bucket, new Map(entries.filter((entry): entry is [Digest, number] => isDigest(entry[0]))));
  }

  /** In ms since 1970; 0 when nothing is known. */
  of(digest: Digest): number {
    return this.#usedAtMs.get(digest) ?? 0;
  }

  /** Adds what replicas have written since, in place of their own records. @param isStored what else there is no need to know */
  async gather(isStored: (digest: Digest) => boolean): Promise<void> {
    const gathered: string[] = [];
    for await (const { key } of this.#bucket.list(keys.uses)) {
      const record = parse(recordSchema, (await this.#bucket.read(key))?.text);
      for (const digest of record?.digests ?? []) {
        if (isDigest(digest)) this.#usedAtMs.set(digest, Math.max(this.of(digest), record?.usedAtMs ?? 0));
      }
      gathered.push(key);
    }
    if (gathered.length === 0) return;
    await this.#write(isStored);
    for (const key of gathered) await this.#bucket.delete(key);
  }

  async #write(isStored: (digest: Digest) => boolean): Promise<void> {
    for (const digest of this.#usedAtMs.keys()) if (!isStored(digest)) this.#usedAtMs.delete(digest);
    const latest = [...this.#usedAtMs].toSorted(([, one], [, other]) => other - one);
    for (const [digest] of latest.slice(MAX_CONTENTS)) this.#usedAtMs.delete(digest);
    await this.#bucket.put(keys.allUses, Buffer.from(JSON.stringify(Object.fromEntries(this.#usedAtMs))));
  }
}

function parse<T>(schema: z.ZodType<T>, text = ''): T | undefined {
  try {
    return schema.parse(JSON.parse(text));
  } catch {
    return undefined; // none, or not ours
  }
}
