import { AGENT_VARIABLES } from '../agent/config.ts';
import { Problems, type Env, readEnv } from '../service/env.ts';
import { type TlsFiles, checkTlsFiles } from '../service/tls-files.ts';
import type { Address } from '../service/units.ts';

/** How the shared tier is reached, and what is shown to it: as an agent does it. */
export interface TierAccess {
  readonly sharedTier: Address;
  readonly tls: TlsFiles;
  readonly tokenFile: string | undefined;
}

const { CIRC_SHARED_TIER, CIRC_TIER_TOKEN_FILE, CIRC_TLS_CA_FILE, CIRC_TLS_CERT_FILE, CIRC_TLS_KEY_FILE } =
  AGENT_VARIABLES;

/** What circctl reads from its environment: the agent's own variables. */
export const CIRCCTL_VARIABLES = {
  CIRC_SHARED_TIER,
  CIRC_TIER_TOKEN_FILE: { ...CIRC_TIER_TOKEN_FILE, meaning: 'a ServiceAccount token, shown to the shared tier' },
  CIRC_TLS_CA_FILE,
  CIRC_TLS_CERT_FILE,
  CIRC_TLS_KEY_FILE,
};

/** @throws ConfigError with every mistake */
export function readTierAccess(env: Env): TierAccess {
  const problems = new Problems();
  const values = readEnv(CIRCCTL_VARIABLES, env, problems);
  const tls = checkTlsFiles(
    {
      cert: ['CIRC_TLS_CERT_FILE', values.CIRC_TLS_CERT_FILE],
      key: ['CIRC_TLS_KEY_FILE', values.CIRC_TLS_KEY_FILE],
      ca: ['CIRC_TLS_CA_FILE', values.CIRC_TLS_CA_FILE],
    },
    problems,
  );
  problems.throwIfAny();
  return { sharedTier: values.CIRC_SHARED_TIER, tls, tokenFile: values.CIRC_TIER_TOKEN_FILE };
}
