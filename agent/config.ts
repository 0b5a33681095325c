import { readFileSync } from 'node:fs';
import { isAbsolute, resolve } from 'node:path';
import { Problems, type Env, oneOf, optional, parseFlag, parseText, readEnv, variable } from '../service/env.ts';
import { LOG_LEVELS } from '../service/log.ts';
import { type OriginsFile, parseOriginsFile, readOriginsFile } from '../service/origins-file.ts';
import { type TlsFiles, checkTlsFiles } from '../service/tls-files.ts';
import { type Address, isLoopback, parseAddress, parsePercent, parseSize } from '../service/units.ts';
import { ADMISSION_POLICIES, type AdmissionPolicy } from './admission.ts';

export interface AgentConfig {
  readonly listen: Address;
  readonly statusListen: Address;
  readonly sharedTier: Address;
  readonly cacheDirectory: string;
  readonly cacheBytes: number;
  /** Part of the file system that is left free, 0 to 1. */
  readonly minFree: number;
  readonly admit: AdmissionPolicy;
  /** containerd's `config_path`; undefined: its hosts.toml files are left alone. */
  readonly certsDirectory: string | undefined;
  readonly delivery: 'relay' | 'redirect';
  readonly origins: OriginsFile;
  /** https on the mirror endpoint, if there is a certificate. */
  readonly mirrorTls: TlsFiles;
  /** TLS towards the shared tier, if there is a CA; the certificate is the agent's identity. */
  readonly tierTls: TlsFiles;
  /** The agent's ServiceAccount token, its identity towards the shared tier. */
  readonly tokenFile: string | undefined;
  readonly insecure: boolean;
  readonly logLevel: string;
}

/** What the agent reads from its environment. */
export const AGENT_VARIABLES = {
  CIRC_AGENT_LISTEN: variable('the mirror endpoint, for containerd', '127.0.0.1:5050', parseAddress),
  CIRC_AGENT_STATUS_LISTEN: variable('/livez, /readyz, /metrics', '127.0.0.1:5051', parseAddress),
  CIRC_SHARED_TIER: variable(
    'gRPC of the shared tier; a name may have an address per replica',
    '127.0.0.1:5060',
    parseAddress,
  ),
  CIRC_AGENT_CACHE_DIR: variable('directory of the node cache', '/var/lib/circ/agent', (text) =>
    resolve(parseText(text)),
  ),
  CIRC_AGENT_CACHE_SIZE: variable('bound of the node cache', '20GiB', parseSize),
  CIRC_AGENT_MIN_FREE: variable('part of the file system that is left free', '20%', parsePercent),
  CIRC_AGENT_ADMIT: variable(
    `what the node keeps: ${ADMISSION_POLICIES.join(', ')}`,
    'second-request',
    oneOf(...ADMISSION_POLICIES),
  ),
  CIRC_AGENT_DELIVERY: variable(
    'how blobs reach containerd: relay (through the agent), redirect (straight from the shared tier)',
    'relay',
    oneOf('relay', 'redirect'),
  ),
  CIRC_AGENT_TLS_CERT_FILE: optional('https on the mirror endpoint: certificate chain, PEM', parseText),
  CIRC_AGENT_TLS_KEY_FILE: optional('its key', parseText),
  CIRC_CONTAINERD_CERTS_DIR: optional('directory whose hosts.toml files the agent manages', parseCertsDirectory),
  CIRC_TIER_TOKEN_FILE: optional("the agent's projected ServiceAccount token, shown to the shared tier", parseText),
  CIRC_TLS_CA_FILE: optional('TLS towards the shared tier: the CA of its certificate, PEM', parseText),
  CIRC_TLS_CERT_FILE: optional('certificate that is shown to the shared tier (mtls), PEM', parseText),
  CIRC_TLS_KEY_FILE: optional('its key', parseText),
  CIRC_ORIGINS: optional('YAML file of the registries, for names in the path form', parseText),
  CIRC_INSECURE: variable('allow a mirror endpoint beyond loopback', 'false', parseFlag),
  CIRC_LOG_LEVEL: variable(LOG_LEVELS.join(', '), 'info', oneOf(...LOG_LEVELS)),
};

/** @throws ConfigError with every mistake */
export function readAgentConfig(env: Env): AgentConfig {
  const problems = new Problems();
  const values = readEnv(AGENT_VARIABLES, env, problems);
  const { mirrorTls, tierTls } = securityOf(values, problems);
  const tokenFile = values.CIRC_TIER_TOKEN_FILE;
  if (tokenFile !== undefined) problems.attempt('CIRC_TIER_TOKEN_FILE', () => readFileSync(tokenFile));
  const origins = problems.attempt('CIRC_ORIGINS', () => readOriginsFile(values.CIRC_ORIGINS)) ?? parseOriginsFile('');
  problems.throwIfAny();
  return {
    listen: values.CIRC_AGENT_LISTEN,
    statusListen: values.CIRC_AGENT_STATUS_LISTEN,
    sharedTier: values.CIRC_SHARED_TIER,
    cacheDirectory: values.CIRC_AGENT_CACHE_DIR,
    cacheBytes: values.CIRC_AGENT_CACHE_SIZE,
    minFree: values.CIRC_AGENT_MIN_FREE,
    admit: values.CIRC_AGENT_ADMIT,
    certsDirectory: values.CIRC_CONTAINERD_CERTS_DIR,
    delivery: values.CIRC_AGENT_DELIVERY,
    origins,
    mirrorTls,
    tierTls,
    tokenFile,
    insecure: values.CIRC_INSECURE,
    logLevel: values.CIRC_LOG_LEVEL,
  };
}

/** containerd's own default is a list of directories, of which its transfer service follows none. */
function parseCertsDirectory(text: string): string {
  if (!isAbsolute(text) || text.includes(':')) throw new Error('one absolute path, such as /etc/containerd/certs.d');
  return resolve(text);
}

/** What the way to containerd and the way to the tier must have when they leave this machine. */
function securityOf(
  values: ReturnType<typeof readEnv<typeof AGENT_VARIABLES>>,
  problems: Problems,
): Pick<AgentConfig, 'mirrorTls' | 'tierTls'> {
  const mirrorTls = checkTlsFiles(
    {
      cert: ['CIRC_AGENT_TLS_CERT_FILE', values.CIRC_AGENT_TLS_CERT_FILE],
      key: ['CIRC_AGENT_TLS_KEY_FILE', values.CIRC_AGENT_TLS_KEY_FILE],
    },
    problems,
  );
  const tierTls = checkTlsFiles(
    {
      cert: ['CIRC_TLS_CERT_FILE', values.CIRC_TLS_CERT_FILE],
      key: ['CIRC_TLS_KEY_FILE', values.CIRC_TLS_KEY_FILE],
      ca: ['CIRC_TLS_CA_FILE', values.CIRC_TLS_CA_FILE],
    },
    problems,
  );
  if (tierTls.certFile !== undefined && tierTls.caFile === undefined) {
    problems.add('CIRC_TLS_CA_FILE', 'expected, because CIRC_TLS_CERT_FILE is set: without it there is no TLS');
  }
  const otherwise = 'CIRC_INSECURE=true allows it without';
  if (!values.CIRC_INSECURE && mirrorTls.certFile === undefined && !isLoopback(values.CIRC_AGENT_LISTEN)) {
    problems.add('CIRC_AGENT_LISTEN', `expected a loopback address, or CIRC_AGENT_TLS_CERT_FILE; ${otherwise}`);
  }
  if (!values.CIRC_INSECURE && tierTls.caFile === undefined && !isLoopback(values.CIRC_SHARED_TIER)) {
    problems.add('CIRC_SHARED_TIER', `expected a loopback address, or CIRC_TLS_CA_FILE; ${otherwise}`);
  }
  return { mirrorTls, tierTls };
}
