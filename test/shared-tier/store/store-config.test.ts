import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { ConfigError } from '../../../service/env.ts';
import { readTierConfig } from '../../../shared-tier/config.ts';
import { parseStore } from '../../../shared-tier/store/store-config.ts';
import { tmpDir } from '../../support/tmp-dir.ts';

const LOOPBACK = {
  CIRC_TIER_GRPC_LISTEN: '127.0.0.1:0',
  CIRC_TIER_HTTP_LISTEN: '127.0.0.1:0',
  CIRC_TIER_LEASES: 'memory',
};
const KEYS = { AWS_ACCESS_KEY_ID: 'key', AWS_SECRET_ACCESS_KEY: 'secret' };

function storeOf(env: Record<string, string>) {
  return readTierConfig({ ...LOOPBACK, ...env }).store;
}

function bucketOf(env: Record<string, string>) {
  const store = storeOf({ CIRC_TIER_STORE: 's3://images', ...env });
  if (store.kind !== 's3') throw new Error('not a bucket');
  return store.bucket;
}

/** The variables that something is wrong with. */
function wrongIn(env: Record<string, string>): string[] {
  try {
    readTierConfig({ ...LOOPBACK, ...env });
    return [];
  } catch (error) {
    if (!(error instanceof ConfigError)) throw error;
    return error.problems.map((problem) => problem.split(':', 1).join());
  }
}

describe('the place of the store', () => {
  test.each([
    ['file:///var/lib/circ', { kind: 'disk', directory: '/var/lib/circ' }],
    ['s3://images', { kind: 's3', bucket: 'images', prefix: '' }],
    ['s3://images/', { kind: 's3', bucket: 'images', prefix: '' }],
    ['s3://my.images-2/circ/prod/', { kind: 's3', bucket: 'my.images-2', prefix: 'circ/prod/' }],
    ['s3://images//a//b', { kind: 's3', bucket: 'images', prefix: 'a/b/' }],
  ])('can be %s', (text, place) => {
    expect(parseStore(text)).toEqual(place);
  });

  test.each([
    's3:/images',
    's3://',
    's3://Images',
    's3://ab',
    's3://images?x',
    's3://images/../other',
    's3://images/a b',
    's3://key:secret@images',
    'gs://images',
    '/var/lib',
    '',
  ])('cannot be %j', (text) => {
    expect(() => parseStore(text)).toThrow(Error);
  });
});

describe('the settings of a bucket', () => {
  test('have the defaults of the contract', () => {
    expect(storeOf({ CIRC_TIER_STORE: 's3://images/circ' })).toEqual({
      kind: 's3',
      capacityBytes: 200 * 2 ** 30,
      spoolDirectory: '/var/lib/circ/spool',
      spoolBytes: 50 * 2 ** 30,
      isPresigned: false,
      bucket: {
        bucket: 'images',
        prefix: 'circ/',
        endpoint: undefined,
        region: 'us-east-1',
        pathStyle: false,
        ca: undefined,
        credentials: undefined,
      },
    });
  });

  test.each([
    ['http://10.1.2.3:9000', 'false', true],
    ['http://[fd00::1]:9000', 'false', true],
    ['https://minio.lab', 'false', false],
    ['https://minio.lab', 'true', true],
  ])('at %s with CIRC_S3_PATH_STYLE=%s have the bucket in the path: %s', (AWS_ENDPOINT_URL, CIRC_S3_PATH_STYLE, is) => {
    expect(bucketOf({ AWS_ENDPOINT_URL, CIRC_S3_PATH_STYLE }).pathStyle).toBe(is);
  });

  test('are the ones of S3 where there are two', () => {
    const bucket = bucketOf({
      AWS_ENDPOINT_URL: 'https://aws.lab',
      AWS_ENDPOINT_URL_S3: 'https://s3.lab',
      AWS_REGION: 'garage',
      AWS_DEFAULT_REGION: 'other',
    });
    expect(bucket).toMatchObject({ endpoint: 'https://s3.lab/', region: 'garage' });
  });

  test('take keys, with a session if there is one', () => {
    const credentials = { accessKeyId: 'key', secretAccessKey: 'secret' };
    expect(bucketOf(KEYS).credentials).toEqual(credentials);
    expect(bucketOf({ ...KEYS, AWS_SESSION_TOKEN: 'session' }).credentials).toEqual({
      ...credentials,
      sessionToken: 'session',
    });
  });

  test('take a file with the authorities that are trusted', async () => {
    await using directory = await tmpDir();
    const AWS_CA_BUNDLE = join(directory.path, 'ca.pem');
    await writeFile(AWS_CA_BUNDLE, 'PEM');
    expect(bucketOf({ AWS_CA_BUNDLE }).ca).toBe('PEM');
  });

  test('are refused when they contradict each other', () => {
    const CIRC_TIER_STORE = 's3://images';
    expect(wrongIn({ CIRC_TIER_STORE, AWS_ACCESS_KEY_ID: 'key' })).toEqual(['AWS_SECRET_ACCESS_KEY']);
    expect(wrongIn({ CIRC_TIER_STORE, AWS_CA_BUNDLE: '/no/such/file' })).toEqual(['AWS_CA_BUNDLE']);
    expect(wrongIn({ CIRC_TIER_STORE, AWS_ENDPOINT_URL: 'minio.lab' })).toEqual(['AWS_ENDPOINT_URL']);
    expect(wrongIn({ CIRC_TIER_SPOOL_DIR: '/spool', CIRC_TIER_SPOOL_SIZE: '1GiB' })).toEqual([
      'CIRC_TIER_SPOOL_DIR',
      'CIRC_TIER_SPOOL_SIZE',
    ]);
  });
});
