import { LRUCache } from 'lru-cache';
import { Counter, Gauge, type Registry as MetricsRegistry, collectDefaultMetrics } from 'prom-client';
import type { EvictionReason } from '../content/disk-store.ts';
import type { Digest } from '../oci/digest.ts';
import type { OciError } from '../oci/error.ts';
import type { Logger } from '../service/log.ts';
import { distrustIn } from './tier-trust.ts';

/** One function per thing that happens in the agent: its metrics and its log line together. */
export interface AgentEvents {
  readonly evicted: (digest: Digest, reason: EvictionReason) => void;
  readonly fillFailed: (digest: Digest, error: OciError) => void;
  /** A question to the shared tier, or a connection to it, failed. */
  readonly tierFailed: (error: unknown) => void;
}

/** Every pull fails in the same way: each reason is told once in this time. */
const TELL_AGAIN_MS = 10 * 60_000;

export function agentEvents(log: Logger, metrics: MetricsRegistry, storeBytes: () => number): AgentEvents {
  const registers = [metrics];
  collectDefaultMetrics({ register: metrics });
  const evictions = new Counter({
    name: 'circ_evictions_total',
    help: 'Content that was removed from the node cache',
    labelNames: ['reason'],
    registers,
  });
  const fillsFailed = new Counter({
    name: 'circ_fills_failed_total',
    help: 'Blobs that could not be kept on the node; they were served all the same',
    registers,
  });
  const distrusts = new Counter({
    name: 'circ_tier_distrusts_total',
    help: 'Questions and connections to the shared tier that failed because one side does not trust the other',
    labelNames: ['kind'],
    registers,
  });
  const told = new LRUCache<string, true>({ max: 100, ttl: TELL_AGAIN_MS });
  const bytes: Gauge = new Gauge({
    name: 'circ_store_bytes',
    help: 'Bytes in the node cache, content on its way included',
    registers: [],
    collect: () => bytes.set(storeBytes()),
  });
  metrics.registerMetric(bytes);

  return {
    evicted: (digest, reason) => {
      evictions.inc({ reason });
      log[reason === 'damaged' ? 'warn' : 'debug']({ digest, reason }, 'evicted');
    },
    fillFailed: (digest, error) => {
      fillsFailed.inc();
      log.warn({ digest, code: error.code, reason: error.message, err: error.cause }, 'not kept on this node');
    },
    tierFailed: (error) => {
      const distrust = distrustIn(error);
      if (!distrust) return; // it is away: the requests say so
      distrusts.inc({ kind: distrust.kind });
      const key = `${distrust.kind} ${distrust.reason}`;
      if (told.has(key)) return;
      told.set(key, true);
      log.warn(distrust, 'no trust between this agent and the shared tier: it counts as away, pulls go to the origins');
    },
  };
}
