import type { Digest } from '../../../oci/digest.ts';
import { type DownloadOptions, startDownload } from '../../../shared-tier/origin/download.ts';
import { diskStore } from '../../content/fixtures.ts';
import { type BlobSource, bytesBlob, generatedBlob } from '../../support/blobs.ts';
import type { Moods } from '../../support/origin-moods.ts';
import { startOrigin } from '../../support/origin.ts';
import { APP, type ClientsOptions, MIB, REGISTRY, bytesOf, clientsOf, forever } from '../fixtures.ts';

/** Downloads into a store of its own. */
export async function downloads(server: { url: string }, options: ClientsOptions = {}) {
  const stack = new AsyncDisposableStack();
  const { store } = stack.use(await diskStore());
  const tier = stack.use(clientsOf({ [REGISTRY]: server }, options));
  let receivedBytes = 0;
  const download: Omit<DownloadOptions, 'digest'> = {
    client: tier.registry(),
    repository: APP,
    pace: undefined,
    signal: forever,
    received: (bytes) => (receivedBytes += bytes),
  };
  return {
    store,
    options: download,
    get receivedBytes() {
      return receivedBytes;
    },
    /** Fetches, commits, and reads again. */
    async run(digest: Digest, more: Partial<DownloadOptions> = {}): Promise<Buffer> {
      const started = await startDownload({ ...download, ...more, digest });
      await using ingest = await store.ingest(digest, started.sizeBytes);
      await started.into(ingest);
      await ingest.commit();
      await using content = await store.open(digest);
      return await bytesOf(content);
    },
    [Symbol.asyncDispose]: () => stack[Symbol.asyncDispose](),
  };
}

/** An origin with one blob, and downloads from it. */
export async function originWith(blob: BlobSource, mood: Moods = {}, options: ClientsOptions = {}) {
  const stack = new AsyncDisposableStack();
  const origin = stack.use(await startOrigin());
  const { digest } = await origin.addBlob(APP, blob);
  origin.mood = mood;
  const it = stack.use(await downloads(origin, options));
  return { origin, digest, it, [Symbol.asyncDispose]: () => stack[Symbol.asyncDispose]() };
}

export const small = generatedBlob(3 * MIB + 7, 1);
export const large = generatedBlob(100 * MIB + 11, 2);

export async function isWhole(bytes: Buffer, digest: Digest): Promise<boolean> {
  return (await bytesBlob(bytes).digest()) === digest;
}
