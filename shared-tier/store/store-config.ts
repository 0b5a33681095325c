import { readFileSync } from 'node:fs';
import { isIP } from 'node:net';
import { resolve } from 'node:path';
import { hostOf } from '../../service/units.ts';
import type { Problems } from '../../service/env.ts';
import type { BucketConfig } from './bucket.ts';

/** Where content is kept. */
export type StorePlace =
  | { readonly kind: 'disk'; readonly directory: string }
  | { readonly kind: 's3'; readonly bucket: string; readonly prefix: string };

export type StoreConfig =
  | { readonly kind: 'disk'; readonly directory: string; readonly capacityBytes: number }
  | {
      readonly kind: 's3';
      readonly bucket: BucketConfig;
      readonly capacityBytes: number;
      readonly spoolDirectory: string;
      readonly spoolBytes: number;
      /** Clients that were sent here are sent on to the bucket itself. */
      readonly isPresigned: boolean;
    };

/** What the environment says of the store; undefined = not said. */
export interface StoreSettings {
  readonly CIRC_TIER_STORE: StorePlace;
  readonly CIRC_TIER_STORE_SIZE: number;
  readonly CIRC_TIER_SPOOL_DIR: string | undefined;
  readonly CIRC_TIER_SPOOL_SIZE: number | undefined;
  readonly CIRC_S3_PATH_STYLE: boolean;
  readonly CIRC_S3_PRESIGN: boolean;
  readonly AWS_ENDPOINT_URL: URL | undefined;
  readonly AWS_ENDPOINT_URL_S3: URL | undefined;
  readonly AWS_REGION: string | undefined;
  readonly AWS_DEFAULT_REGION: string | undefined;
  readonly AWS_CA_BUNDLE: string | undefined;
  readonly AWS_ACCESS_KEY_ID: string | undefined;
  readonly AWS_SECRET_ACCESS_KEY: string | undefined;
  readonly AWS_SESSION_TOKEN: string | undefined;
}

const SPOOL_DIRECTORY = '/var/lib/circ/spool';
const SPOOL_BYTES = 50 * 2 ** 30;
const REGION = 'us-east-1';

/** `file:///var/lib/circ`, `file://./.circ/tier` (relative to the working directory), `s3://bucket/prefix`. */
export function parseStore(text: string): StorePlace {
  const path = /^file:\/\/(\/?.+)$/.exec(text)?.[1];
  if (path !== undefined) return { kind: 'disk', directory: resolve(path) };
  // https://docs.aws.amazon.com/AmazonS3/latest/userguide/bucketnamingrules.html and object-keys.html
  const [, bucket, prefix = ''] = /^s3:\/\/([a-z0-9][a-z0-9.-]{1,61}[a-z0-9])(?:\/([\w!.*'()/-]*))?$/.exec(text) ?? [];
  if (bucket === undefined) throw new Error('file://DIRECTORY or s3://BUCKET/PREFIX');
  const parts = prefix.split('/').filter((part) => part !== '');
  if (parts.includes('.') || parts.includes('..')) throw new Error('a prefix without . and ..');
  return { kind: 's3', bucket, prefix: parts.map((part) => `${part}/`).join('') };
}

/** `https://minio.lab:9000` @throws Error with what is expected */
export function parseEndpoint(text: string): URL {
  const url = URL.canParse(text) ? new URL(text) : undefined;
  if (!url || !['http:', 'https:'].includes(url.protocol) || url.username !== '')
    throw new Error('an http or https URL');
  return url;
}

/** Puts together what belongs together; what contradicts itself is added to the problems. */
export function storeConfigOf(settings: StoreSettings, problems: Problems): StoreConfig {
  const { CIRC_TIER_STORE: place, CIRC_TIER_STORE_SIZE: capacityBytes } = settings;
  const { CIRC_TIER_SPOOL_DIR: spoolDirectory, CIRC_TIER_SPOOL_SIZE: spoolBytes } = settings;
  if (place.kind === 'disk') {
    const needsBucket = 'expected only with s3://: with file:// the store itself is the spool';
    if (spoolDirectory !== undefined) problems.add('CIRC_TIER_SPOOL_DIR', needsBucket);
    if (spoolBytes !== undefined) problems.add('CIRC_TIER_SPOOL_SIZE', needsBucket);
    return { ...place, capacityBytes };
  }
  return {
    kind: 's3',
    bucket: bucketConfigOf(place, settings, problems),
    capacityBytes,
    spoolDirectory: resolve(spoolDirectory ?? SPOOL_DIRECTORY),
    spoolBytes: spoolBytes ?? SPOOL_BYTES,
    isPresigned: settings.CIRC_S3_PRESIGN,
  };
}

function bucketConfigOf(
  { bucket, prefix }: { bucket: string; prefix: string },
  settings: StoreSettings,
  problems: Problems,
): BucketConfig {
  const { AWS_CA_BUNDLE: caFile, AWS_ACCESS_KEY_ID: accessKeyId, AWS_SECRET_ACCESS_KEY: secretAccessKey } = settings;
  const endpoint = settings.AWS_ENDPOINT_URL_S3 ?? settings.AWS_ENDPOINT_URL;
  const { AWS_SESSION_TOKEN: sessionToken } = settings;
  if ((accessKeyId === undefined) !== (secretAccessKey === undefined)) {
    problems.add('AWS_SECRET_ACCESS_KEY', 'expected together with AWS_ACCESS_KEY_ID');
  }
  const isKnown = accessKeyId !== undefined && secretAccessKey !== undefined;
  return {
    bucket,
    prefix,
    endpoint: endpoint?.href,
    region: settings.AWS_REGION ?? settings.AWS_DEFAULT_REGION ?? REGION,
    pathStyle: settings.CIRC_S3_PATH_STYLE || (endpoint !== undefined && isIP(hostOf(endpoint)) !== 0),
    ca: caFile === undefined ? caFile : problems.attempt('AWS_CA_BUNDLE', () => readFileSync(caFile, 'utf8')),
    credentials: isKnown
      ? { accessKeyId, secretAccessKey, ...(sessionToken !== undefined && { sessionToken }) }
      : undefined,
  };
}
