import { expect, test } from 'vitest';
import { Bucket } from '../../../shared-tier/store/bucket.ts';
import { readS3StoreId } from '../../../shared-tier/store/s3-store-id.ts';
import { s3Server } from '../../support/s3-server.ts';

test('replicas that start at the same time find one id, and those that come later', async () => {
  await using server = await s3Server();
  using bucket = new Bucket(server.config());
  const ids = await Promise.all(Array.from({ length: 5 }, () => readS3StoreId(bucket)));
  expect([new Set([...ids, await readS3StoreId(bucket)]).size, ids[0]?.length]).toEqual([1, 36]);
});

test('stores in one bucket have ids of their own', async () => {
  await using server = await s3Server();
  using one = new Bucket(server.config('one/'));
  using other = new Bucket(server.config('other/'));
  expect(await readS3StoreId(one)).not.toBe(await readS3StoreId(other));
});

test('a bucket that is not there, or refuses, is said to be unavailable', async () => {
  await using server = await s3Server();
  using absent = new Bucket({ ...server.config(), bucket: 'another-bucket' });
  await expect(readS3StoreId(absent)).rejects.toMatchObject({ code: 'UNAVAILABLE' });
  using stranger = new Bucket({ ...server.config(), credentials: { accessKeyId: 'x', secretAccessKey: 'y' } });
  await expect(readS3StoreId(stranger)).rejects.toMatchObject({ code: 'UNAVAILABLE' });
});
