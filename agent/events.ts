import { Counter, Gauge, type Registry as MetricsRegistry, collectDefaultMetrics } from 'prom-client';
import { EVICTION_REASONS, type EvictionReason } from '../content/disk-store.ts';
import type { Digest } from '../oci/digest.ts';
import type { OciError } from '../oci/error.ts';
import { fromZero } from '../service/from-zero.ts';
import type { Logger } from '../service/log.ts';
import { Seldom } from '../service/seldom.ts';
import { formatAddress } from '../service/units.ts';
import type { CredentialEvents } from './client-credentials.ts';
import { REPLICA_STATES, type ReplicaState } from './replica.ts';
import type { ReplicaEvents } from './replicas.ts';
import { DISTRUST_KINDS, distrustIn } from './tier-trust.ts';

/** One function per thing that happens in the agent: its metrics and its log line together. */
export interface AgentEvents {
  readonly credentials: CredentialEvents;
  readonly evicted: (digest: Digest, reason: EvictionReason) => void;
  readonly fillFailed: (digest: Digest, error: OciError) => void;
  readonly replicas: ReplicaEvents;
  /** A question to the shared tier, or a connection to it, failed. */
  readonly tierFailed: (error: unknown) => void;
  /** No client came to a target that it was sent to; what is there is relayed now. */
  readonly redirectsOff: (target: string) => void;
  /** The node cache could not be read, or not be asked how full it is; serving went on without it. */
  readonly storeFailed: (error: OciError) => void;
}

/** What is true now, for the gauges. */
export interface AgentGauges {
  readonly storeBytes: () => number;
  readonly storeCapacityBytes: () => number;
  readonly replicas: (state: ReplicaState) => number;
}

export function agentEvents(log: Logger, metrics: MetricsRegistry, gauges: AgentGauges): AgentEvents {
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
  const storeErrors = new Counter({
    name: 'circ_store_errors_total',
    help: 'Times that the node cache could not be used; the shared tier served instead',
    registers,
  });
  const redirectsLost = new Counter({
    name: 'circ_redirects_switched_off_total',
    help: 'Times that no client came to where it was sent; from there blobs are relayed for a while',
    registers,
  });
  const distrusts = new Counter({
    name: 'circ_tier_distrusts_total',
    help: 'Questions and connections to the shared tier that failed because one side does not trust the other',
    labelNames: ['kind'],
    registers,
  });
  const credentials = new Counter({
    name: 'circ_client_credentials_total',
    help: 'Requests of containerd that were answered with a challenge (asked), or that came with credentials and were served (accepted)',
    labelNames: ['what'],
    registers,
  });
  const bytes: Gauge = new Gauge({
    name: 'circ_store_bytes',
    help: 'Bytes in the node cache, content on its way included',
    registers: [],
    collect: () => bytes.set(gauges.storeBytes()),
  });
  metrics.registerMetric(bytes);
  const capacity: Gauge = new Gauge({
    name: 'circ_store_capacity_bytes',
    help: 'Bound of the node cache',
    registers: [],
    collect: () => capacity.set(gauges.storeCapacityBytes()),
  });
  metrics.registerMetric(capacity);
  const replicas: Gauge<'state'> = new Gauge({
    name: 'circ_tier_replicas',
    help: 'Replicas of the shared tier, as this node sees them',
    labelNames: ['state'],
    registers: [],
    collect: () => {
      for (const state of REPLICA_STATES) replicas.set({ state }, gauges.replicas(state));
    },
  });
  metrics.registerMetric(replicas);
  const failovers = new Counter({
    name: 'circ_tier_failovers_total',
    help: 'Questions asked again of another replica, and reads that a replica could not go on with',
    labelNames: ['what'],
    registers,
  });
  fromZero(evictions, 'reason', EVICTION_REASONS);
  fromZero(distrusts, 'kind', DISTRUST_KINDS);
  const seldom = new Seldom();
  const tierFailed = (error: unknown): void => {
    const distrust = distrustIn(error);
    if (!distrust) return; // it is away: the requests say so
    distrusts.inc({ kind: distrust.kind });
    seldom.happened(`${distrust.kind}: ${distrust.reason}`, (times) => {
      const facts = { ...distrust, times };
      log.warn(facts, 'no trust between this agent and the shared tier: it counts as away, pulls go to the origins');
    });
  };

  return {
    credentials: {
      seen: (what) => credentials.inc({ what }),
      missing: (asked) => {
        seldom.happened('credentials', () => {
          const advice = 'pods have no valid pull secret, or containerd shows it to no mirror any more';
          log.warn({ asked, advice }, 'nobody comes back with credentials: only public images are served here');
        });
      },
    },
    evicted: (digest, reason) => {
      evictions.inc({ reason });
      log[reason === 'damaged' ? 'warn' : 'debug']({ digest, reason }, 'evicted');
    },
    fillFailed: (digest, error) => {
      fillsFailed.inc();
      seldom.happened(`fill: ${error.message}`, (times) => {
        const facts = { digest, code: error.code, reason: error.message, times, err: error.cause };
        log.warn(facts, 'not kept on this node');
      });
    },
    redirectsOff: (target) => {
      redirectsLost.inc();
      log.warn({ target }, 'no client has come to where it was sent; its blobs are relayed for 10 minutes');
    },
    storeFailed: (error) => {
      storeErrors.inc();
      seldom.happened(`store: ${error.message}`, (times) => {
        log.error({ reason: error.message, times, err: error.cause }, 'the node cache cannot be used; serving goes on');
      });
    },
    replicas: {
      changed: (address, state, reason) => {
        const level = state === 'failed' ? 'warn' : 'info';
        log[level]({ replica: formatAddress(address), state, reason: reason?.message }, 'replica of the shared tier');
      },
      lost: tierFailed,
      lookupFailed: (reason) => {
        seldom.happened(`lookup: ${reason instanceof Error ? reason.message : ''}`, (times) => {
          log.warn({ times, err: reason }, 'the name of the shared tier is not resolved');
        });
      },
      failedOver: (what) => failovers.inc({ what }),
    },
    tierFailed,
  };
}
