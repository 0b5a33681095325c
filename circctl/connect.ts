import { tierCredentials } from '../agent/tier-credentials.ts';
import { TokenFile } from '../agent/token-file.ts';
import type { TierCredentials } from '../agent/tier-credentials.ts';
import { TlsMaterial } from '../service/tls-material.ts';
import type { TierAccess } from './config.ts';

const QUIET = { loaded: () => undefined, kept: () => undefined, ended: () => undefined };

/**
 * What is shown to the shared tier, and how it is known: as an agent does it.
 *
 * @param serverName the name in the tier's certificate, where that is not the name that is dialled (kubectl port-forward)
 */
export function credentialsFor({ sharedTier, tls, tokenFile }: TierAccess, serverName?: string): TierCredentials {
  const material = tls.caFile === undefined ? undefined : new TlsMaterial(tls, { events: QUIET });
  const token = tokenFile === undefined ? undefined : new TokenFile(tokenFile);
  return tierCredentials({ material, token, serviceName: serverName ?? sharedTier.host });
}
