import type { Check } from './check.ts';
import { brokenHosts } from './checks/broken-hosts.ts';
import { certsDirectory } from './checks/certs-directory.ts';
import { clockOff } from './checks/clock-off.ts';
import { configPath } from './checks/config-path.ts';
import { containerdOld } from './checks/containerd-old.ts';
import { credentialsRefused } from './checks/credentials-refused.ts';
import { defaultShadowed } from './checks/default-shadowed.ts';
import { diskFull } from './checks/disk-full.ts';
import { portTaken } from './checks/port-taken.ts';
import { tierUnreachable } from './checks/tier-unreachable.ts';

/** The commonest mistakes, in the order of a pull: containerd, its files, the agent, the way to the tier, the registry. */
export const CHECKS: readonly Check[] = [
  containerdOld,
  configPath,
  certsDirectory,
  defaultShadowed,
  brokenHosts,
  portTaken,
  diskFull,
  tierUnreachable,
  clockOff,
  credentialsRefused,
];
