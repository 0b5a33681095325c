import { isAbsolute, resolve } from 'node:path';
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
  CIRC_AGENT_TLS_CERT_FILE: notYet('https on the mirror endpoint'),
  CIRC_AGENT_TLS_KEY_FILE: notYet('https on the mirror endpoint'),
  CIRC_CONTAINERD_CERTS_DIR: optional('directory whose hosts.toml files the agent manages', parseCertsDirectory),
  CIRC_TIER_TOKEN_FILE: notYet("the agent's ServiceAccount token"),
  CIRC_TLS_CA_FILE: notYet('what is trusted as the shared tier'),
  CIRC_ORIGINS: optional('YAML file of the registries, for names in the path form', parseText),
  CIRC_INSECURE: variable('allow a mirror endpoint beyond loopback', 'false', parseFlag),
  CIRC_LOG_LEVEL: variable(LOG_LEVELS.join(', '), 'info', oneOf(...LOG_LEVELS)),
};

/** @throws ConfigError with every mistake */
export function readAgentConfig(env: Env): AgentConfig {
  const problems = new Problems();
  const values = readEnv(AGENT_VARIABLES, env, problems);
  if (!values.CIRC_INSECURE && !isLoopback(values.CIRC_AGENT_LISTEN)) {
    const expected = 'expected a loopback address, because there is no TLS; CIRC_INSECURE=true allows others';
    problems.add('CIRC_AGENT_LISTEN', expected);
  }
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
    insecure: values.CIRC_INSECURE,
    logLevel: values.CIRC_LOG_LEVEL,
  };
}

/** containerd's own default is a list of directories, of which its transfer service follows none. */
function parseCertsDirectory(text: string): string {
  if (!isAbsolute(text) || text.includes(':')) throw new Error('one absolute path, such as /etc/containerd/certs.d');
  return resolve(text);
}
