import type { ContentStore } from '../../content/store.ts';
import type { Digest } from '../../oci/digest.ts';
import type { Inventory } from './inventory.ts';

/** What is to go. */
export type EvictWhat =
  | { readonly kind: 'digest'; readonly digest: Digest }
  /** All that a repository (`registry/repository`) holds, also what others hold as well: they fetch it anew. */
  | { readonly kind: 'repository'; readonly place: string }
  | { readonly kind: 'all' };

export interface Evicted {
  readonly blobs: number;
  readonly bytes: number;
}

/**
 * Removes content from the store. What is read at this moment is read on; what is on its way comes in all the same.
 *
 * @param isDryRun only counts
 * @throws OciError UNAVAILABLE when the storage does not do it; what went before that has gone
 */
export async function evict(
  { store, inventory }: { readonly store: ContentStore; readonly inventory: Inventory },
  what: EvictWhat,
  { isDryRun, signal }: { readonly isDryRun: boolean; readonly signal: AbortSignal },
): Promise<Evicted> {
  let [blobs, bytes] = [0, 0];
  for await (const { digest, sizeBytes } of contentsOf(store, inventory, what)) {
    signal.throwIfAborted();
    if (!isDryRun) await store.delete(digest);
    blobs += 1;
    bytes += sizeBytes;
  }
  return { blobs, bytes };
}

async function* contentsOf(store: ContentStore, inventory: Inventory, what: EvictWhat) {
  if (what.kind !== 'digest') {
    yield* inventory.contents(what.kind === 'repository' ? what.place : undefined);
    return;
  }
  const stored = await store.stat(what.digest);
  if (stored) yield { digest: what.digest, ...stored };
}
