import type { KubernetesApi } from '../kubernetes/api.ts';
import type { LeaseApi } from './lease-api.ts';
import type { LeaseResult, LeaseVerb } from './kubernetes-lease-api.ts';
import { Leases, type LeasesEvents } from './leases.ts';
import { MemoryLeaseApi } from './memory-lease-api.ts';

/** Where leases live, and who this replica is there. */
export type LeasesConfig =
  | { readonly kind: 'memory'; readonly durationMs: number }
  | {
      readonly kind: 'kubernetes';
      readonly durationMs: number;
      readonly namespace: string;
      readonly podName: string;
    };

export interface OpenLeasesOptions {
  /** `host:port` at which other replicas reach this one; asked for when a lease is wanted. */
  readonly address: () => string;
  readonly storeId: string;
  /** Asked for when the leases are there. */
  readonly kubernetes: () => Promise<KubernetesApi>;
  readonly events: LeasesEvents;
  readonly report: (verb: LeaseVerb, result: LeaseResult) => void;
}

/** @throws what `kubernetes` throws; not when the API is away, which may happen at any time */
export async function openLeases(config: LeasesConfig, options: OpenLeasesOptions): Promise<Leases> {
  const { address, storeId, kubernetes, events, report } = options;
  const { durationMs } = config;
  const leasesOf = (api: LeaseApi, identity: string): Leases =>
    new Leases({ api, durationMs, events, holder: () => ({ identity, address: address(), storeId }) });
  if (config.kind === 'memory') return leasesOf(new MemoryLeaseApi(), 'this process');
  const { KubernetesLeaseApi } = await import('./kubernetes-lease-api.ts');
  const { namespace, podName } = config;
  return leasesOf(new KubernetesLeaseApi({ api: await kubernetes(), namespace, report }), podName);
}
