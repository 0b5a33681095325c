import { readFileSync } from 'node:fs';
import { randomBytes } from 'node:crypto';
import { resolve } from 'node:path';
import type { Registry } from '../oci/reference.ts';
import {
  Problems,
  type Env,
  notYet,
  oneOf,
  optional,
  parseFlag,
  parseText,
  readEnv,
  variable,
} from '../service/env.ts';
import { LOG_LEVELS } from '../service/log.ts';
import { type OriginsFile, parseOriginsFile, readOriginsFile } from '../service/origins-file.ts';
import { type Address, isLoopback, parseAddress, parseDuration, parseSize } from '../service/units.ts';
import { readCredentials } from './origin/operator-credential.ts';

export interface TierConfig {
  readonly grpcListen: Address;
  readonly httpListen: Address;
  readonly statusListen: Address;
  /** Where agents reach this replica's HTTP; undefined = where it listens, on loopback if it listens everywhere. */
  readonly advertise: Address | undefined;
  /** Where pushers reach it, for the addresses they are told; undefined: these are relative. */
  readonly publicUrl: URL | undefined;
  readonly storeDirectory: string;
  readonly storeBytes: number;
  readonly masterKey: Uint8Array;
  readonly grantTtlMs: number;
  readonly origins: OriginsFile;
  /** PEM text of the registries that have a `ca`. */
  readonly cas: ReadonlyMap<Registry, string>;
  readonly insecure: boolean;
  readonly logLevel: string;
}

const MIN_KEY_BYTES = 32;

/** What the shared tier reads from its environment. */
export const TIER_VARIABLES = {
  CIRC_TIER_GRPC_LISTEN: variable('gRPC: questions of the agents', '0.0.0.0:5060', parseAddress),
  CIRC_TIER_HTTP_LISTEN: variable('HTTP: OCI endpoint and blob reads', '0.0.0.0:5061', parseAddress),
  CIRC_TIER_STATUS_LISTEN: variable('/livez, /readyz, /metrics', '0.0.0.0:5062', parseAddress),
  CIRC_TIER_ADVERTISE: optional('host:port at which agents reach the HTTP of this replica', parseAddress),
  CIRC_TIER_STORE: variable('file://DIRECTORY of the cluster-wide cache', 'file:///var/lib/circ/tier', parseStore),
  CIRC_TIER_STORE_SIZE: variable('bound of the cache', '200GiB', parseSize),
  CIRC_TIER_LEASES: variable('where singleflight leases live: memory (one replica)', 'memory', oneOf('memory')),
  CIRC_TIER_KEY_FILE: optional('file with the master key, at least 32 bytes; made at start if unset', parseText),
  CIRC_GRANT_TTL: variable('how long a proof of access is remembered; 0s = never', '60s', parseDuration),
  CIRC_TIER_LEASE_DURATION: notYet('duration of a lease'),
  CIRC_TIER_SPOOL_DIR: notYet('where content on its way is kept'),
  CIRC_TIER_SPOOL_SIZE: notYet('bound of the spool'),
  CIRC_TIER_PUBLIC_URL: optional(
    'URL under which pushers reach the shared tier; unset: addresses are relative',
    parseUrl,
  ),
  CIRC_TIER_CLIENTS: notYet('who may call gRPC'),
  CIRC_TLS_CERT_FILE: notYet('TLS of gRPC and HTTP'),
  CIRC_TLS_KEY_FILE: notYet('TLS of gRPC and HTTP'),
  CIRC_ORIGINS: optional('YAML file: which registries may be reached, and how', parseText),
  CIRC_INSECURE: variable('allow listeners beyond loopback without TLS and identity', 'false', parseFlag),
  CIRC_LOG_LEVEL: variable(LOG_LEVELS.join(', '), 'info', oneOf(...LOG_LEVELS)),
  POD_IP: optional('address of the pod; CIRC_TIER_ADVERTISE is derived from it', parseText),
};

/** @throws ConfigError with every mistake */
export function readTierConfig(env: Env): TierConfig {
  const problems = new Problems();
  const values = readEnv(TIER_VARIABLES, env, problems);
  const { CIRC_ORIGINS: originsPath, CIRC_TIER_KEY_FILE: keyPath } = values;

  // The status port shows counters only; the others carry content, and later credentials.
  for (const name of ['CIRC_TIER_GRPC_LISTEN', 'CIRC_TIER_HTTP_LISTEN'] as const) {
    if (!values.CIRC_INSECURE && !isLoopback(values[name])) {
      problems.add(name, 'expected a loopback address, because there is no TLS; CIRC_INSECURE=true allows others');
    }
  }
  const masterKey =
    keyPath === undefined
      ? randomBytes(MIN_KEY_BYTES)
      : (problems.attempt('CIRC_TIER_KEY_FILE', () => readFileSync(keyPath)) ?? randomBytes(MIN_KEY_BYTES));
  if (masterKey.length < MIN_KEY_BYTES) problems.add('CIRC_TIER_KEY_FILE', `expected at least ${MIN_KEY_BYTES} bytes`);

  const origins = problems.attempt('CIRC_ORIGINS', () => readOriginsFile(originsPath)) ?? parseOriginsFile('');
  const cas = new Map<Registry, string>();
  for (const [registry, { ca, credentialsFile, endpoint = new URL(`https://${registry}`) }] of origins.registries) {
    const name = `CIRC_ORIGINS: registries.${registry}`;
    const pem = ca === undefined ? ca : problems.attempt(`${name}.ca`, () => readFileSync(ca, 'utf8'));
    if (pem !== undefined) cas.set(registry, pem);
    if (credentialsFile !== undefined) {
      problems.attempt(`${name}.credentialsFile`, () => readCredentials(credentialsFile, { registry, endpoint }));
    }
  }
  problems.throwIfAny();

  const { CIRC_TIER_HTTP_LISTEN: httpListen, POD_IP: podIp } = values;
  return {
    grpcListen: values.CIRC_TIER_GRPC_LISTEN,
    httpListen,
    statusListen: values.CIRC_TIER_STATUS_LISTEN,
    advertise: values.CIRC_TIER_ADVERTISE ?? (podIp === undefined ? undefined : { host: podIp, port: httpListen.port }),
    publicUrl: values.CIRC_TIER_PUBLIC_URL,
    storeDirectory: values.CIRC_TIER_STORE,
    storeBytes: values.CIRC_TIER_STORE_SIZE,
    masterKey,
    grantTtlMs: values.CIRC_GRANT_TTL,
    origins,
    cas,
    insecure: values.CIRC_INSECURE,
    logLevel: values.CIRC_LOG_LEVEL,
  };
}

/** `file:///var/lib/circ` or, relative to the working directory, `file://./.circ/tier`. */
function parseStore(text: string): string {
  const path = /^file:\/\/(\/?.+)$/.exec(text)?.[1];
  if (path === undefined) throw new Error('file://DIRECTORY');
  return resolve(path);
}

/** `https://push.example`, or with the path below which an Ingress has it. */
function parseUrl(text: string): URL {
  const url = URL.parse(text);
  const isPlain = url && url.username === '' && url.password === '' && url.search === '' && url.hash === '';
  if (!isPlain || !/^https?:$/.test(url.protocol)) throw new Error('http://host:port or https://host');
  return url;
}
