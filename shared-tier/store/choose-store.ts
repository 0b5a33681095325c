import type { BufferPool } from '../../content/buffer-pool.ts';
import { DirectoryLock } from '../../content/directory-lock.ts';
import { DiskStore, type EvictionReason } from '../../content/disk-store.ts';
import type { Hasher } from '../../content/hasher.ts';
import type { Layout } from '../../content/layout.ts';
import type { Spools } from '../../content/spool.ts';
import type { ContentStore } from '../../content/store.ts';
import type { Digest } from '../../oci/digest.ts';
import { PublicFiles } from '../access/public-files.ts';
import type { PublicRecords } from '../access/public-places.ts';
import { FileRecords, type Records } from '../records.ts';
import { readStoreId } from '../store-id.ts';
import type { BucketUsage, TakeTurn } from './collector.ts';
import type { StoreConfig } from './store-config.ts';

/** The store that the configuration names, with all that belongs to it. */
export interface ChosenStore extends AsyncDisposable {
  readonly store: ContentStore & Spools;
  /** Most bytes that may be on their way in at once. */
  readonly spoolBytes: number;
  readonly records: Records;
  readonly publicRecords: PublicRecords;
  /** A directory of this process's own. */
  readonly layout: Layout;
  /** Random, the same for all replicas that share the store. */
  readonly id: string;
  /** What is in the store; of a bucket by the collector's last round, whichever replica that is. */
  readonly usage: () => BucketUsage;
  /** The same, after a look at what the replica that collects has written down since. */
  readonly latestUsage: () => Promise<BucketUsage>;
  /** Begins to keep the store within its size, in this replica's turns. A store in a directory does so by itself. */
  readonly startCollecting: (takeTurn: TakeTurn) => void;
}

export interface StoreParts {
  readonly pool: BufferPool;
  readonly hasher: Hasher;
  /** How long a URL for the bucket, or the right to be given one, may live. */
  readonly urlLifeMs: number;
  readonly evicted: (digest: Digest, reason: EvictionReason) => void;
  /** The store did not do something; what was asked for was served all the same if that was possible. */
  readonly failed: (error: unknown) => void;
}

/** @throws OciError UNAVAILABLE when the directory, or the bucket, cannot be used */
export async function openStore(config: StoreConfig, parts: StoreParts): Promise<ChosenStore> {
  if (config.kind === 'disk') return await openDisk(config, parts);
  // AWS's SDK costs 40 MB: only where there is a bucket.
  const { openS3 } = await import('./open-s3.ts');
  return await openS3(config, parts);
}

async function openDisk(
  { directory, capacityBytes }: Extract<StoreConfig, { kind: 'disk' }>,
  { pool, hasher, evicted, failed }: StoreParts,
): Promise<ChosenStore> {
  await using opening = new AsyncDisposableStack();
  opening.use(DirectoryLock.take(directory));
  let records: FileRecords | undefined;
  const store = await DiskStore.open({
    directory,
    capacityBytes,
    pool,
    hasher,
    onEvict: (digest, reason) => {
      records?.forget(digest); // without: opening the store made room already
      evicted(digest, reason);
    },
  });
  const { layout } = store;
  const opened = await FileRecords.open(layout, async (digest) => !!(await store.stat(digest)), failed);
  records = opened;
  opening.defer(() => opened.settled());
  const publicRecords = await PublicFiles.open(layout, failed);
  const id = await readStoreId(layout);
  const usage = () => ({ blobs: store.usage.blobs, bytes: store.usage.bytes });
  const open = opening.move();
  return {
    store,
    spoolBytes: capacityBytes,
    records: opened,
    publicRecords,
    layout,
    id,
    usage,
    latestUsage: async () => usage(),
    startCollecting: () => undefined,
    [Symbol.asyncDispose]: () => open.disposeAsync(),
  };
}
