import type { Registry as MetricsRegistry } from 'prom-client';
import type { ConnectedAgents } from '../callers/connected-agents.ts';
import type { Fetches } from '../fetches.ts';
import type { ChosenStore } from '../store/choose-store.ts';
import { type Totals, readTotals } from './totals.ts';

/** What a replica has done and has; see `GetStatsResponse` in proto/admin.proto. */
export interface Stats extends Totals {
  readonly blobs: number;
  readonly bytes: number;
  readonly capacityBytes: number;
  readonly fetchesInFlight: number;
  readonly waiters: number;
  readonly agents: number;
  readonly version: string;
  readonly uptimeMs: number;
  readonly replica: string;
  readonly store: 'disk' | 's3';
}

export interface StatsSources {
  readonly kept: Pick<ChosenStore, 'latestUsage'>;
  readonly fetches: Fetches;
  readonly agents: ConnectedAgents;
  readonly metrics: MetricsRegistry;
  readonly capacityBytes: number;
  readonly storeKind: 'disk' | 's3';
  readonly replica: string;
  readonly version: string;
}

/** Reads them, each time anew. */
export function statsOf(sources: StatsSources): () => Promise<Stats> {
  const { kept, fetches, agents, metrics, capacityBytes, storeKind, replica, version } = sources;
  const startedAtMs = performance.now();
  return async () => ({
    ...(await readTotals(metrics)),
    ...(await kept.latestUsage()),
    capacityBytes,
    fetchesInFlight: fetches.count,
    waiters: fetches.waiters,
    agents: agents.count,
    version,
    uptimeMs: Math.round(performance.now() - startedAtMs),
    replica,
    store: storeKind,
  });
}
