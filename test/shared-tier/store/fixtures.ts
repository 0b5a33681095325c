import type { OciError } from '../../../oci/error.ts';
import type { Digest } from '../../../oci/digest.ts';
import { Bucket } from '../../../shared-tier/store/bucket.ts';
import { Catalog } from '../../../shared-tier/store/catalog.ts';
import { S3Records } from '../../../shared-tier/store/s3-records.ts';
import { S3Store, type S3StoreOptions } from '../../../shared-tier/store/s3-store.ts';
import { MIB, diskStore } from '../../content/fixtures.ts';
import { s3Server } from '../../support/s3-server.ts';

export interface ReplicaOptions extends Partial<
  Pick<S3StoreOptions, 'partBytes' | 'capacityBytes' | 'saveEveryMs' | 'spoolPatienceMs' | 'isPresigned'>
> {
  readonly spoolBytes?: number;
}

/** What one replica of the tier has on a bucket. */
export type Replica = Awaited<ReturnType<typeof replicaOn>>;

/** A store in the bucket of a test's own server, and further replicas on the same bucket. */
export async function s3Store(options: ReplicaOptions = {}) {
  const stack = new AsyncDisposableStack();
  const server = stack.use(await s3Server());
  const another = async (more: ReplicaOptions = {}): Promise<Replica> =>
    stack.use(await replicaOn(server.config(), { ...options, ...more }));
  const replica = await another();
  return { ...replica, server, another, [Symbol.asyncDispose]: () => stack.disposeAsync() };
}

export async function replicaOn(config: ConstructorParameters<typeof Bucket>[0], options: ReplicaOptions = {}) {
  const { spoolBytes = 256 * MIB, capacityBytes = 1024 * MIB, ...more } = options;
  const stack = new AsyncDisposableStack();
  const spool = stack.use(await diskStore({ capacityBytes: spoolBytes }));
  const bucket = stack.use(new Bucket(config));
  const failures: OciError[] = [];
  const failed = (error: OciError): void => void failures.push(error);
  const catalog = new Catalog(bucket, failed);
  const used: Digest[] = [];
  const store = stack.use(
    new S3Store({
      bucket,
      catalog,
      pool: spool.pool,
      spool: spool.store,
      capacityBytes,
      failed,
      used: (digest) => void used.push(digest),
      partBytes: MIB / 4,
      ...more,
    }),
  );
  const records = new S3Records(catalog, failed);
  stack.defer(() => records.settled());
  return {
    store,
    records,
    catalog,
    bucket,
    spool: spool.store,
    failures,
    used,
    [Symbol.asyncDispose]: () => stack.disposeAsync(),
  };
}
