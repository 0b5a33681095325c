import { DirectoryLock } from '../../content/directory-lock.ts';
import { DiskStore } from '../../content/disk-store.ts';
import { Bucket } from './bucket.ts';
import { Catalog } from './catalog.ts';
import type { ChosenStore, StoreParts } from './choose-store.ts';
import { Collector, type TakeTurn } from './collector.ts';
import { S3PublicRecords } from './s3-public-records.ts';
import { S3Records } from './s3-records.ts';
import { readS3StoreId } from './s3-store-id.ts';
import { S3Store } from './s3-store.ts';
import type { StoreConfig } from './store-config.ts';
import { Uses } from './uses.ts';

/** Until any replica has looked. */
const NOTHING = { blobs: 0, bytes: 0 };

/** Opens the store in a bucket, with a spool in a directory. @throws OciError UNAVAILABLE */
export async function openS3(
  {
    bucket: bucketConfig,
    capacityBytes,
    spoolDirectory,
    spoolBytes,
    isPresigned,
  }: Extract<StoreConfig, { kind: 's3' }>,
  { pool, hasher, urlLifeMs, evicted, failed }: StoreParts,
): Promise<ChosenStore> {
  await using opening = new AsyncDisposableStack();
  opening.use(DirectoryLock.take(spoolDirectory));
  const spool = await DiskStore.open({ directory: spoolDirectory, capacityBytes: spoolBytes, pool, hasher });
  const bucket = opening.use(new Bucket(bucketConfig));
  const id = await readS3StoreId(bucket);
  const catalog = new Catalog(bucket, failed);
  const uses = opening.use(new Uses({ bucket, failed }));
  const used = uses.note.bind(uses);
  const store = opening.use(new S3Store({ bucket, catalog, pool, spool, capacityBytes, used, failed, isPresigned }));
  const records = new S3Records(catalog, failed);
  opening.defer(() => records.settled());
  let collector: Collector | undefined;
  const open = opening.move();
  return {
    store,
    spoolBytes,
    records,
    publicRecords: new S3PublicRecords(bucket, failed),
    layout: spool.layout,
    id,
    usage: () => collector?.usage ?? NOTHING,
    latestUsage: async () => (await collector?.latestUsage()) ?? NOTHING,
    startCollecting: (takeTurn: TakeTurn) => {
      collector = open.use(new Collector({ bucket, catalog, takeTurn, capacityBytes, urlLifeMs, evicted, failed }));
      void collector.learnUsage().catch(failed);
    },
    [Symbol.asyncDispose]: () => open.disposeAsync(),
  };
}
