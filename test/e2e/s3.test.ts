import { randomUUID } from 'node:crypto';
import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { VersityGateway } from '../../scripts/lab/versitygw.ts';
import { BufferPool } from '../../content/buffer-pool.ts';
import { Bucket } from '../../shared-tier/store/bucket.ts';
import { Collector } from '../../shared-tier/store/collector.ts';
import { ENTRY_LIFE_MS } from '../../shared-tier/store/catalog.ts';
import { keys } from '../../shared-tier/store/keys.ts';
import { openUploads } from '../../shared-tier/store/multipart.ts';
import { S3PublicRecords } from '../../shared-tier/store/s3-public-records.ts';
import { Upload } from '../../shared-tier/store/upload.ts';
import { Slots } from '../../shared-tier/slots.ts';
import { MIB, read, sample } from '../content/fixtures.ts';
import { contentStoreContract } from '../contracts/content-store.ts';
import { publicRecordsContract } from '../contracts/public-records.ts';
import { recordsContract } from '../contracts/records.ts';
import { type ReplicaOptions, replicaOn } from '../shared-tier/store/fixtures.ts';
import { generatedBlob } from '../support/blobs.ts';
import { startHouse } from '../support/house.ts';
import { type TmpDir, tmpDir } from '../support/tmp-dir.ts';

const APP = 'org/app';
/** The smallest part that S3 takes. */
const PART = { partBytes: 5 * MIB };

let directory: TmpDir;
let gateway: VersityGateway;

beforeAll(async () => {
  directory = await tmpDir();
  gateway = await VersityGateway.start(join(directory.path, 's3'), join(directory.path, 's3.log'));
});

afterAll(async () => {
  await gateway[Symbol.asyncDispose]();
  await directory[Symbol.asyncDispose]();
});

/** One replica on a part of the bucket of its own. */
async function replica(options: ReplicaOptions = PART) {
  return await replicaOn(gateway.config(`${randomUUID()}/`), options);
}

contentStoreContract('a bucket of versitygw', () => replica());

recordsContract('a bucket of versitygw', async () => {
  const config = gateway.config(`${randomUUID()}/`);
  const stack = new AsyncDisposableStack();
  const it = stack.use(await replicaOn(config, PART));
  return {
    records: it.records,
    put: (digest, bytes) => it.store.put(digest, bytes),
    remove: (digest) => it.store.delete(digest),
    reopen: async () => stack.use(await replicaOn(config, PART)).records,
    failures: it.failures,
    [Symbol.asyncDispose]: () => stack.disposeAsync(),
  };
});

publicRecordsContract('a bucket of versitygw', async () => {
  const bucket = new Bucket(gateway.config(`${randomUUID()}/`));
  const failures: unknown[] = [];
  const reopen = async () => new S3PublicRecords(bucket, (error) => failures.push(error));
  return {
    records: await reopen(),
    reopen,
    count: async () => (await Array.fromAsync(bucket.list(keys.publicPlaces))).length,
    failures,
    [Symbol.asyncDispose]: async () => bucket[Symbol.dispose](),
  };
});

describe('versitygw', () => {
  test('gives ranges to a socket of ours, by URLs that we sign', async () => {
    await using it = await replica();
    const { bytes } = sample(3 * MIB, 9);
    await it.bucket.put('object', bytes);
    const { signal } = new AbortController();
    using stream = await it.bucket.stream(
      'object',
      { start: 9, end: bytes.length },
      { pool: new BufferPool(), signal },
    );
    const pieces: Buffer[] = [];
    for await (const chunk of stream) {
      pieces.push(Buffer.from(chunk.bytes));
      chunk.release();
    }
    expect([stream.wholeBytes, Buffer.concat(pieces).equals(bytes.subarray(9))]).toEqual([bytes.length, true]);
  });

  test('takes content in parts while it arrives, and gives it to another replica', async () => {
    const config = gateway.config(`${randomUUID()}/`);
    await using one = await replicaOn(config, PART);
    await using other = await replicaOn(config, PART);
    const { bytes, digest } = sample(23 * MIB);
    await using ingest = await one.store.ingest(digest, bytes.length);
    for (let at = bytes.length; at > 0; at -= MIB) await ingest.write(at - MIB, [bytes.subarray(at - MIB, at)]);
    await ingest.commit();
    await using content = await other.store.open(digest);
    expect((await read(content)).equals(bytes)).toBe(true);
    expect([...one.failures, ...other.failures]).toEqual([]);
  });

  test('gives presigned URLs: GET of one content, for a while', async () => {
    await using it = await replica({ ...PART, isPresigned: true });
    const { bytes, digest } = sample(MIB);
    await it.store.put(digest, bytes);
    const url = (await it.store.presign(digest, 60_000)) ?? '';
    const answer = await fetch(url, { headers: { range: 'bytes=7-' } });
    expect([answer.status, Buffer.from(await answer.arrayBuffer()).equals(bytes.subarray(7))]).toEqual([206, true]);
    expect((await fetch(url, { method: 'DELETE' })).status).toBe(403);
    expect((await fetch(url.replace('X-Amz-Expires=60', 'X-Amz-Expires=600'))).status).toBe(403);
    expect((await fetch(url.replace(digest.slice(7), 'x'))).status).toBe(403);
  });

  test('has no upload any more that the collector found abandoned', async () => {
    await using it = await replica();
    const { bytes } = sample(6 * MIB);
    const halted = async function* () {
      yield { bytes: bytes.subarray(0, 5 * MIB), release: () => undefined };
    };
    const upload = new Upload({
      ...it,
      key: 'v1/blobs/x',
      sizeBytes: 6 * MIB,
      slots: new Slots({ slots: 1 }),
      read: halted,
      ...PART,
    });
    upload.advance(() => true);
    const uploads = async () => (await Array.fromAsync(openUploads(it.bucket))).length;
    await expect.poll(uploads, { timeout: 10_000 }).toBe(1);
    await using collector = collectorOn(it, { abandonedMs: 0, capacityBytes: MIB });
    await collector.round();
    expect(await uploads()).toBe(0);
  });
});

describe('a tier with a bucket of versitygw', () => {
  test('fetches nothing again after a restart with an empty spool', async () => {
    const spool = join(directory.path, 'spool-1');
    await using house = await startHouse({
      agent: { CIRC_AGENT_ADMIT: 'never' },
      tier: { ...gateway.env('restart'), CIRC_TIER_SPOOL_DIR: spool },
    });
    await house.origin.addImage(APP, 'v1', { layers: [generatedBlob(40 * MIB, 1), generatedBlob(MIB, 2)] });
    const first = await house.pull(APP, 'v1');
    await expect.poll(async () => (await house.tierMetrics()).sum('circ_fetches_in_flight')).toBe(0);
    const gets = house.origin.count({ method: 'GET' });
    await house.stopTier();
    await rm(spool, { recursive: true });
    await house.startTier();
    await house.restartAgent();
    expect(await house.pull(APP, 'v1')).toMatchObject({ bytes: first.bytes });
    expect(house.origin.count({ method: 'GET' })).toBe(gets);
    expect((await house.tierMetrics()).sum('circ_store_errors_total')).toBe(0);
  });

  test('fails no pull of 50 clients while half of what they want is evicted all the time', async () => {
    const spool = join(directory.path, 'spool-2');
    await using house = await startHouse({
      agent: { CIRC_AGENT_ADMIT: 'never' },
      tier: { ...gateway.env('pressure'), CIRC_TIER_SPOOL_DIR: spool, CIRC_TIER_SPOOL_SIZE: '40MiB' },
    });
    const blobs = Array.from({ length: 12 }, (_, seed) => generatedBlob(6 * MIB, seed));
    const digests: string[] = [];
    for (const blob of blobs) {
      const { digest } = await house.origin.addBlob(APP, blob);
      expect(await house.blob(APP, digest)).toMatchObject({ digest });
      await expect.poll(async () => (await house.tierMetrics()).sum('circ_fetches_in_flight')).toBe(0);
      digests.push(digest);
    }
    await using other = await replicaOn(gateway.config('pressure/'), PART);
    let evictions = 0;
    // Without any grace: bytes go under the readers' hands.
    await using collector = collectorOn(other, {
      capacityBytes: 36 * MIB,
      everyMs: 100,
      evicted: () => void (evictions += 1),
    });
    const client = async (number: number): Promise<string[]> => {
      const wrong: string[] = [];
      for (let turn = 0; turn < 6; turn += 1) {
        const digest = digests[(number * 5 + turn * 7) % digests.length] ?? '';
        const got = await house.blob(APP, digest);
        if (got.digest !== digest) wrong.push(`${got.status} ${got.bytes}`);
      }
      return wrong;
    };
    const wrong = await Promise.all(Array.from({ length: 50 }, (_, number) => client(number)));
    expect(wrong.flat()).toEqual([]);
    await collector.round();
    expect(evictions).toBeGreaterThan(8);
    expect(collector.usage?.bytes).toBeLessThanOrEqual(36 * MIB);
  });
});

type Options = ConstructorParameters<typeof Collector>[0];

function collectorOn(
  { bucket, catalog }: Pick<Options, 'bucket' | 'catalog'>,
  more: Partial<Options> & Pick<Options, 'capacityBytes'>,
): Collector {
  return new Collector({
    bucket,
    catalog,
    urlLifeMs: 0,
    graceMs: -ENTRY_LIFE_MS,
    evicted: () => undefined,
    failed: () => undefined,
    takeTurn: async () => ({ lost: new AbortController().signal, [Symbol.asyncDispose]: async () => undefined }),
    ...more,
  });
}
