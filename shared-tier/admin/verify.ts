import { createHash } from 'node:crypto';
import type { ContentStore } from '../../content/store.ts';
import { type Digest, algorithmOf, hexOf } from '../../oci/digest.ts';
import { OciError } from '../../oci/error.ts';

/** What became of one content. */
export type Verdict = 'good' | 'corrupt' | 'unreadable' | 'gone';

/**
 * Reads content and hashes it. What is not what its digest says is dropped, and so are files that turn out to be damaged
 * when they are opened; what cannot be read now stays.
 *
 * @throws the signal's reason
 */
export async function verify(store: ContentStore, digest: Digest, signal: AbortSignal): Promise<Verdict> {
  try {
    await using content = await store.open(digest);
    if (!content) return 'gone';
    const hash = createHash(algorithmOf(digest));
    for await (const { bytes, release } of content.chunks({ start: 0, end: content.sizeBytes }, { signal })) {
      hash.update(bytes);
      release();
    }
    if (hash.digest('hex') === hexOf(digest)) return 'good';
  } catch (error) {
    signal.throwIfAborted();
    if (OciError.from(error).code !== 'CORRUPT') return 'unreadable';
  }
  await store.delete(digest);
  return 'corrupt';
}
