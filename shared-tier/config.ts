import { readFileSync } from 'node:fs';
import { randomBytes, randomUUID } from 'node:crypto';
import type { Registry } from '../oci/reference.ts';
import { Problems, type Env, oneOf, optional, parseFlag, parseText, readEnv, variable } from '../service/env.ts';
import { LOG_LEVELS } from '../service/log.ts';
import { type OriginsFile, parseOriginsFile, readOriginsFile } from '../service/origins-file.ts';
import { type TlsFiles, checkTlsFiles } from '../service/tls-files.ts';
import { type Address, isLoopback, parseAddress, parseDuration, parseSize } from '../service/units.ts';
import { type AllowedCallers, parseAllowedCallers } from './callers/allowed-callers.ts';
import type { LeasesConfig } from './leases/open-leases.ts';
import { readCredentials } from './origin/operator-credential.ts';
import { type StoreConfig, parseEndpoint, parseStore, storeConfigOf } from './store/store-config.ts';

export interface TierConfig {
  readonly grpcListen: Address;
  readonly httpListen: Address;
  readonly statusListen: Address;
  /** Where agents reach this replica's HTTP; undefined = where it listens, on loopback if it listens everywhere. */
  readonly advertise: Address | undefined;
  /** Where pushers reach it, for the addresses they are told; undefined: these are relative. */
  readonly publicUrl: URL | undefined;
  readonly store: StoreConfig;
  readonly masterKey: Uint8Array;
  readonly grantTtlMs: number;
  readonly leases: LeasesConfig;
  readonly origins: OriginsFile;
  /** PEM text of the registries that have a `ca`. */
  readonly cas: ReadonlyMap<Registry, string>;
  /** With a certificate gRPC and HTTP speak TLS. */
  readonly tls: TlsFiles;
  /** Who may call gRPC. */
  readonly clients: AllowedCallers;
  readonly insecure: boolean;
  readonly logLevel: string;
}

const MIN_KEY_BYTES = 32;
const MIN_LEASE_MS = 1_000;
/** Kubernetes tells each pod its namespace here. */
const NAMESPACE_FILE = '/var/run/secrets/kubernetes.io/serviceaccount/namespace';

/** What the shared tier reads from its environment. */
export const TIER_VARIABLES = {
  CIRC_TIER_GRPC_LISTEN: variable('gRPC: questions of the agents', '0.0.0.0:5060', parseAddress),
  CIRC_TIER_HTTP_LISTEN: variable('HTTP: OCI endpoint and blob reads', '0.0.0.0:5061', parseAddress),
  CIRC_TIER_STATUS_LISTEN: variable('/livez, /readyz, /metrics', '0.0.0.0:5062', parseAddress),
  CIRC_TIER_ADVERTISE: optional('host:port at which agents reach the HTTP of this replica', parseAddress),
  CIRC_TIER_STORE: variable(
    'the cluster-wide cache: file://DIRECTORY, or s3://BUCKET/PREFIX',
    'file:///var/lib/circ/tier',
    parseStore,
  ),
  CIRC_TIER_STORE_SIZE: variable('bound of the cache', '200GiB', parseSize),
  CIRC_TIER_LEASES: variable(
    'where singleflight leases live: kubernetes, or memory (one replica)',
    'kubernetes',
    oneOf('kubernetes', 'memory'),
  ),
  CIRC_TIER_LEASE_DURATION: variable('how long a replica that has gone keeps others waiting', '15s', parseDuration),
  CIRC_POD_NAMESPACE: optional('namespace of the leases; in a pod, its own', parseName),
  CIRC_POD_NAME: optional('name of this replica in its leases; made at start if unset', parseName),
  CIRC_TIER_KEY_FILE: optional('file with the master key, at least 32 bytes; made at start if unset', parseText),
  CIRC_GRANT_TTL: variable('how long a proof of access is remembered; 0s = never', '60s', parseDuration),
  CIRC_TIER_SPOOL_DIR: optional('with s3://: content on its way, and hot content; /var/lib/circ/spool', parseText),
  CIRC_TIER_SPOOL_SIZE: optional('with s3://: bound of the spool; 50GiB', parseSize),
  CIRC_S3_PATH_STYLE: variable(
    'ENDPOINT/BUCKET instead of BUCKET.ENDPOINT; so it is with IP addresses',
    'false',
    parseFlag,
  ),
  CIRC_S3_PRESIGN: variable('send redirected clients on to the bucket itself', 'false', parseFlag),
  AWS_ENDPOINT_URL_S3: optional('URL of the S3-compatible store; AWS if unset', parseEndpoint),
  AWS_ENDPOINT_URL: optional('the same, when the other is unset', parseEndpoint),
  AWS_REGION: optional('region of the bucket; us-east-1', parseText),
  AWS_DEFAULT_REGION: optional('the same, when the other is unset', parseText),
  AWS_CA_BUNDLE: optional('what is trusted as the S3-compatible store, PEM', parseText),
  AWS_ACCESS_KEY_ID: optional(
    'key for the bucket; if unset, what the SDK finds: web identity, instance, profile',
    parseText,
  ),
  AWS_SECRET_ACCESS_KEY: optional('its secret', parseText),
  AWS_SESSION_TOKEN: optional('its session', parseText),
  CIRC_TIER_PUBLIC_URL: optional(
    'URL under which pushers reach the shared tier; unset: addresses are relative',
    parseUrl,
  ),
  CIRC_TIER_CLIENTS: optional(
    'who may call gRPC: tokenreview:AUDIENCE:NAMESPACE/SERVICEACCOUNT,… or mtls:SAN,…; any on loopback',
    parseAllowedCallers,
  ),
  CIRC_TLS_CERT_FILE: optional('certificate chain of gRPC and HTTP, PEM, followed when it changes', parseText),
  CIRC_TLS_KEY_FILE: optional('its key', parseText),
  CIRC_TLS_CA_FILE: optional('what is trusted as clients and as other replicas', parseText),
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

  const { tls, clients } = securityOf(values, problems);
  const masterKey =
    keyPath === undefined
      ? randomBytes(MIN_KEY_BYTES)
      : (problems.attempt('CIRC_TIER_KEY_FILE', () => readFileSync(keyPath)) ?? randomBytes(MIN_KEY_BYTES));
  if (masterKey.length < MIN_KEY_BYTES) problems.add('CIRC_TIER_KEY_FILE', `expected at least ${MIN_KEY_BYTES} bytes`);

  const leases = leasesOf(values, problems);

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
  const store = storeConfigOf(values, problems);
  problems.throwIfAny();

  const { CIRC_TIER_HTTP_LISTEN: httpListen, POD_IP: podIp } = values;
  return {
    grpcListen: values.CIRC_TIER_GRPC_LISTEN,
    httpListen,
    statusListen: values.CIRC_TIER_STATUS_LISTEN,
    advertise: values.CIRC_TIER_ADVERTISE ?? (podIp === undefined ? undefined : { host: podIp, port: httpListen.port }),
    publicUrl: values.CIRC_TIER_PUBLIC_URL,
    store,
    masterKey,
    grantTtlMs: values.CIRC_GRANT_TTL,
    leases,
    origins,
    cas,
    tls,
    clients,
    insecure: values.CIRC_INSECURE,
    logLevel: values.CIRC_LOG_LEVEL,
  };
}

function leasesOf(values: ReturnType<typeof readEnv<typeof TIER_VARIABLES>>, problems: Problems): LeasesConfig {
  const { CIRC_TIER_LEASES: kind, CIRC_TIER_LEASE_DURATION: durationMs, CIRC_POD_NAME: podName } = values;
  if (durationMs < MIN_LEASE_MS) problems.add('CIRC_TIER_LEASE_DURATION', 'expected at least 1s');
  if (kind === 'memory' || problems.has('CIRC_TIER_LEASES')) return { kind: 'memory', durationMs };
  // Replicas read from each other: by signed reads that the reader signs, at the address that the other one tells.
  if (values.CIRC_TIER_KEY_FILE === undefined) {
    problems.add('CIRC_TIER_KEY_FILE', 'expected, with the same bytes for all replicas, when leases are in kubernetes');
  }
  const { CIRC_TIER_ADVERTISE: advertise, POD_IP: podIp, CIRC_TIER_HTTP_LISTEN: listen } = values;
  if (advertise === undefined && podIp === undefined && !isLoopback(listen)) {
    problems.add('CIRC_TIER_ADVERTISE', 'expected it or POD_IP, when leases are in kubernetes');
  }
  const namespace =
    values.CIRC_POD_NAMESPACE ??
    problems.attempt('CIRC_POD_NAMESPACE', () => {
      try {
        return readFileSync(NAMESPACE_FILE, 'utf8').trim();
      } catch {
        throw new Error('expected, outside of a pod, when leases are in kubernetes');
      }
    });
  // Two replicas of one name would take each other's leases for those of their own earlier lives.
  return { kind, durationMs, namespace: namespace ?? '', podName: podName ?? `circ-${randomUUID()}` };
}

/** What the listeners must have when more than this machine reaches them. */
function securityOf(
  values: ReturnType<typeof readEnv<typeof TIER_VARIABLES>>,
  problems: Problems,
): Pick<TierConfig, 'tls' | 'clients'> {
  const { CIRC_TIER_CLIENTS: clients = { kind: 'any' }, CIRC_INSECURE: insecure } = values;
  const tls = checkTlsFiles(
    {
      cert: ['CIRC_TLS_CERT_FILE', values.CIRC_TLS_CERT_FILE],
      key: ['CIRC_TLS_KEY_FILE', values.CIRC_TLS_KEY_FILE],
      ca: ['CIRC_TLS_CA_FILE', values.CIRC_TLS_CA_FILE],
    },
    problems,
  );
  // The status port shows counters only; the others carry content and credentials.
  const listeners = ['CIRC_TIER_GRPC_LISTEN', 'CIRC_TIER_HTTP_LISTEN'] as const;
  const open = insecure ? [] : listeners.filter((name) => !isLoopback(values[name]));
  const otherwise = 'CIRC_INSECURE=true allows it without';
  if (tls.certFile === undefined) {
    for (const name of open) problems.add(name, `expected a loopback address, or CIRC_TLS_CERT_FILE; ${otherwise}`);
  }
  if (open.length > 0 && clients.kind === 'any') {
    problems.add('CIRC_TIER_CLIENTS', `expected who may call, because not all listeners are on loopback; ${otherwise}`);
  }
  if (clients.kind === 'mtls' && (tls.certFile === undefined || tls.caFile === undefined)) {
    problems.add('CIRC_TIER_CLIENTS', 'mtls needs CIRC_TLS_CERT_FILE, CIRC_TLS_KEY_FILE and CIRC_TLS_CA_FILE');
  }
  return { tls, clients };
}

/** Of an object in Kubernetes: https://kubernetes.io/docs/concepts/overview/working-with-objects/names/ */
function parseName(text: string): string {
  if (!/^[a-z0-9]([-.a-z0-9]{0,251}[a-z0-9])?$/.test(text)) throw new Error('a name such as circ-0');
  return text;
}

/** `https://push.example`, or with the path below which an Ingress has it. */
function parseUrl(text: string): URL {
  const url = URL.parse(text);
  const isPlain = url && url.username === '' && url.password === '' && url.search === '' && url.hash === '';
  if (!isPlain || !/^https?:$/.test(url.protocol)) throw new Error('http://host:port or https://host');
  return url;
}
