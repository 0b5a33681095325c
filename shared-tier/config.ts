import { readFileSync } from 'node:fs';
import { randomBytes } from 'node:crypto';
import { resolve } from 'node:path';
import type { Registry } from '../oci/reference.ts';
import { ConfigError, type Env, oneOf, optional, parseFlag, parseText, readEnv, variable } from '../service/env.ts';
import { LOG_LEVELS } from '../service/log.ts';
import { type OriginsFile, parseOriginsFile } from '../service/origins-file.ts';
import { type Address, isLoopback, parseAddress, parseDuration, parseSize } from '../service/units.ts';

export interface TierConfig {
  readonly grpcListen: Address;
  readonly httpListen: Address;
  readonly statusListen: Address;
  /** Where agents reach this replica's HTTP; undefined = where it listens, on loopback if it listens everywhere. */
  readonly advertise: Address | undefined;
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
  CIRC_ORIGINS: optional('YAML file: which registries may be reached, and how', parseText),
  CIRC_INSECURE: variable('allow listeners beyond loopback without TLS and identity', 'false', parseFlag),
  CIRC_LOG_LEVEL: variable(LOG_LEVELS.join(', '), 'info', oneOf(...LOG_LEVELS)),
  POD_IP: optional('address of the pod; CIRC_TIER_ADVERTISE is derived from it', parseText),
};

/** @throws ConfigError with every mistake */
export function readTierConfig(env: Env): TierConfig {
  const values = readEnv(TIER_VARIABLES, env);
  const problems: string[] = [];
  const read = (name: string, path: string): Buffer => {
    try {
      return readFileSync(path);
    } catch (error) {
      problems.push(`${name}: cannot read ${path}: ${error instanceof Error ? error.message : String(error)}`);
      return Buffer.alloc(MIN_KEY_BYTES);
    }
  };

  const listeners = {
    CIRC_TIER_GRPC_LISTEN: values.CIRC_TIER_GRPC_LISTEN,
    CIRC_TIER_HTTP_LISTEN: values.CIRC_TIER_HTTP_LISTEN,
    CIRC_TIER_STATUS_LISTEN: values.CIRC_TIER_STATUS_LISTEN,
  };
  for (const [name, address] of Object.entries(listeners)) {
    // The status port shows counters only; the others carry content, and later credentials.
    if (!values.CIRC_INSECURE && name !== 'CIRC_TIER_STATUS_LISTEN' && !isLoopback(address)) {
      problems.push(`${name}: expected a loopback address, because there is no TLS; CIRC_INSECURE=true allows others`);
    }
  }

  const masterKey =
    values.CIRC_TIER_KEY_FILE === undefined
      ? randomBytes(MIN_KEY_BYTES)
      : read('CIRC_TIER_KEY_FILE', values.CIRC_TIER_KEY_FILE);
  if (masterKey.length < MIN_KEY_BYTES) problems.push(`CIRC_TIER_KEY_FILE: expected at least ${MIN_KEY_BYTES} bytes`);

  let origins = parseOriginsFile('');
  const cas = new Map<Registry, string>();
  if (values.CIRC_ORIGINS !== undefined) {
    const text = read('CIRC_ORIGINS', values.CIRC_ORIGINS).toString('utf8');
    try {
      origins = parseOriginsFile(text.replaceAll('\0', ''));
    } catch (error) {
      if (!(error instanceof ConfigError)) throw error;
      problems.push(...error.problems);
    }
  }
  for (const [registry, { ca }] of origins.registries) {
    if (ca !== undefined) cas.set(registry, read(`CIRC_ORIGINS: registries.${registry}.ca`, ca).toString('utf8'));
  }
  if (problems.length > 0) throw new ConfigError(problems);

  const { CIRC_TIER_HTTP_LISTEN: httpListen, POD_IP: podIp } = values;
  return {
    grpcListen: values.CIRC_TIER_GRPC_LISTEN,
    httpListen,
    statusListen: values.CIRC_TIER_STATUS_LISTEN,
    advertise: values.CIRC_TIER_ADVERTISE ?? (podIp === undefined ? undefined : { host: podIp, port: httpListen.port }),
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
