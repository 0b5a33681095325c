import { Counter, Gauge, Histogram, type Registry as MetricsRegistry, collectDefaultMetrics } from 'prom-client';
import { EVICTION_REASONS, type EvictionReason } from '../content/disk-store.ts';
import type { Digest } from '../oci/digest.ts';
import type { OciError } from '../oci/error.ts';
import type { Registry } from '../oci/reference.ts';
import { outcomeOf } from '../service/exchange.ts';
import { fromZero } from '../service/from-zero.ts';
import type { Logger } from '../service/log.ts';
import { Seldom } from '../service/seldom.ts';
import type { ReportRefusal } from './callers/require-identity.ts';
import type { FetchEvents } from './fetches.ts';
import type { OriginClient } from './origin/origin-clients.ts';
import type { LeaseResult, LeaseVerb } from './leases/kubernetes-lease-api.ts';
import type { LeasesEvents } from './leases/leases.ts';
import { PrivateAddressError } from './origin/dispatcher.ts';
import type { Unlisted } from './origin/origin.ts';
import type { ObserveOrigin } from './origin/response.ts';
import type { ReportQuestion } from './grpc-server.ts';
import type { ReadEvents } from './signed-reads.ts';
import type { TurnsEvents } from './turns.ts';

/** One function per thing that happens in the shared tier: its metrics and its log line together. */
export interface TierEvents {
  readonly origin: ObserveOrigin;
  readonly fetch: FetchEvents;
  readonly once: TurnsEvents;
  readonly leases: LeasesEvents;
  readonly leaseOperation: (verb: LeaseVerb, result: LeaseResult) => void;
  readonly evicted: (digest: Digest, reason: EvictionReason) => void;
  readonly read: ReadEvents;
  readonly pushed: (client: OriginClient, bytes: number) => void;
  readonly question: ReportQuestion;
  readonly admin: (method: string, subject: string, peer: string, error: OciError | undefined) => void;
  readonly callerRefused: ReportRefusal;
  readonly notKept: (error: unknown) => void;
  readonly unlisted: (registry: Registry, unlisted: Unlisted) => void;
  readonly proof: (result: 'yes' | 'no' | 'unknown') => void;
  readonly credentialsFailed: (registry: Registry, error: unknown) => void;
}

/** What the gauges show, and for whom it is counted from the start. */
export interface TierGauges {
  /** Labels of the origins that are known beforehand. */
  readonly origins: readonly string[];
  readonly fetchesInFlight: () => number;
  readonly fetchWaiters: () => number;
  readonly storeBytes: () => number;
  readonly storeCapacityBytes: () => number;
  readonly agents: () => number;
}

export function tierEvents(log: Logger, metrics: MetricsRegistry, gauges: TierGauges): TierEvents {
  const registers = [metrics];
  collectDefaultMetrics({ register: metrics });
  const originRequests = new Counter({
    name: 'circ_origin_requests_total',
    help: 'Requests to origins; status 0 when there was no answer',
    labelNames: ['origin', 'kind', 'status'],
    registers,
  });
  const originBytes = new Counter({
    name: 'circ_origin_bytes_total',
    help: 'Bytes of blobs received from origins',
    labelNames: ['origin'],
    registers,
  });
  const pushedBytes = new Counter({
    name: 'circ_pushed_bytes_total',
    help: 'Bytes of blobs that clients have pushed through here, by the origin they were for',
    labelNames: ['origin'],
    registers,
  });
  const proofs = new Counter({
    name: 'circ_proofs_total',
    help: 'Questions to origins whether a caller may read something, with what that takes of tokens and redirects',
    labelNames: ['result'],
    registers,
  });
  const fetches = new Counter({
    name: 'circ_fetches_total',
    help: 'Retrievals from origins that have ended',
    labelNames: ['result'],
    registers,
  });
  const duplicates = new Counter({
    name: 'circ_fetch_duplicates_total',
    help: 'Retrievals of what another replica may be fetching too, or has fetched a part of, or that was not kept',
    registers,
  });
  const leaseOperations = new Counter({
    name: 'circ_lease_operations_total',
    help: 'Calls of the Kubernetes API for singleflight leases',
    labelNames: ['verb', 'result'],
    registers,
  });
  const evictions = new Counter({
    name: 'circ_evictions_total',
    help: 'Content that was removed from the store',
    labelNames: ['reason'],
    registers,
  });
  const readBytes = new Counter({
    name: 'circ_read_bytes_total',
    help: 'Bytes sent to agents',
    registers,
  });
  const questions = new Histogram({
    name: 'circ_question_seconds',
    help: 'Time to answer agents, by gRPC method and result',
    labelNames: ['method', 'result'],
    buckets: [0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1, 3, 10, 25],
    registers,
  });
  const outcomes = new Counter({
    name: 'circ_questions_total',
    help: 'Questions of agents, by what became of them',
    labelNames: ['method', 'outcome'],
    registers,
  });
  const adminCalls = new Counter({
    name: 'circ_admin_calls_total',
    help: 'Calls of the admin service that were let in',
    labelNames: ['method', 'result'],
    registers,
  });
  const callersRefused = new Counter({
    name: 'circ_callers_refused_total',
    help: 'gRPC calls without an identity that is let in (unauthorized), or whose identity could not be checked',
    labelNames: ['result'],
    registers,
  });
  const notKept = new Counter({
    name: 'circ_store_errors_total',
    help: 'What the store did not take or give; it was served all the same if possible',
    registers,
  });
  gauge('circ_fetches_in_flight', 'Retrievals from origins under way', gauges.fetchesInFlight, metrics);
  gauge('circ_fetch_waiters', 'Readers that wait for what is being retrieved', gauges.fetchWaiters, metrics);
  gauge('circ_agents', 'Agents that are connected to this replica', gauges.agents, metrics);
  gauge('circ_store_capacity_bytes', 'Bound of the store', gauges.storeCapacityBytes, metrics);
  gauge(
    'circ_store_bytes',
    'Bytes in the store, content on its way included; of a bucket, by the last round of its collector',
    gauges.storeBytes,
    metrics,
  );
  fromZero(originBytes, 'origin', gauges.origins);
  fromZero(fetches, 'result', ['ok', 'not-kept', 'unavailable', 'corrupt']);
  fromZero(evictions, 'reason', EVICTION_REASONS);
  fromZero(callersRefused, 'result', ['unauthorized', 'unavailable']);
  const seldom = new Seldom();
  const warned = new Set<string>();

  return {
    origin: ({ origin, kind, status, host, error }) => {
      originRequests.inc({ origin: origin.label, kind, status });
      if (status !== 0 || error instanceof PrivateAddressError) return;
      const reason = reasonOf(error);
      seldom.happened(`origin ${host}: ${reason}`, (times) => {
        log.warn({ registry: origin.registry, host, kind, reason, times }, 'a registry does not answer');
      });
    },
    proof: (result) => proofs.inc({ result }),
    credentialsFailed: (registry, error) => {
      log.warn({ registry, err: error }, "the operator's credentials cannot be read; those read before stay in use");
    },
    fetch: {
      received: ({ origin }, bytes) => originBytes.inc({ origin: origin.label }, bytes),
      ended: ({ registry, repository }, digest, error) => {
        fetches.inc({ result: error?.code.toLowerCase() ?? 'ok' });
        const facts = { registry, repository, digest };
        if (!error) log.info(facts, 'fetched');
        else log.warn({ ...facts, code: error.code, reason: error.message, err: error.cause }, 'fetch failed');
      },
      notKept: ({ registry, repository }, digest, error) => {
        fetches.inc({ result: 'not-kept' });
        duplicates.inc();
        notKept.inc();
        const facts = { registry, repository, digest, reason: error.message, err: error.cause };
        log.warn(facts, 'cannot be stored; passed through from the origin to who asks for it');
      },
    },
    once: {
      duplicated: ({ registry, repository }, reason, error) => {
        duplicates.inc();
        log.warn({ registry, repository, reason, err: error }, 'fetched here though another replica may fetch it too');
      },
      followed: ({ registry, repository }, { identity, address }) => {
        log.debug({ registry, repository, holder: identity, address }, 'reading from the replica that fetches it');
      },
    },
    leases: {
      foreignStore: ({ identity, address }) => {
        log.error(
          { holder: identity, address },
          'another replica has another store: all replicas need the same one (s3://), or there must be only one',
        );
      },
      swept: (count) => log.info({ count }, 'deleted leases of replicas that have gone'),
      failed: (error) => log.warn({ reason: error.message, err: error.cause }, 'leases could not be cleaned up now'),
    },
    leaseOperation: (verb, result) => leaseOperations.inc({ verb, result }),
    evicted: (digest, reason) => {
      evictions.inc({ reason });
      log[reason === 'damaged' ? 'warn' : 'debug']({ digest, reason }, 'evicted');
    },
    read: {
      sent: (bytes) => readBytes.inc(bytes),
      ended: ({ bytes, error }) => {
        if (error) log.info({ bytes, code: error.code, reason: error.message, err: error.cause }, 'read broken off');
      },
    },
    question: (method, durationMs, { error, fromOrigin }) => {
      outcomes.inc({ method, outcome: error ? outcomeOf(error) : fromOrigin ? 'origin' : 'tier-hit' });
      questions.observe({ method, result: error?.code.toLowerCase() ?? 'ok' }, durationMs / 1000);
      const facts = { method, ms: Math.round(durationMs * 10) / 10 };
      if (error?.code === 'INTERNAL') log.error({ ...facts, err: error.cause ?? error }, 'question');
      else log.debug({ ...facts, code: error?.code, reason: error?.message }, 'question');
    },
    pushed: ({ origin }, bytes) => pushedBytes.inc({ origin: origin.label }, bytes),
    admin: (method, subject, peer, error) => {
      adminCalls.inc({ method, result: error?.code.toLowerCase() ?? 'ok' });
      const facts = { method, subject, peer, code: error?.code, reason: error?.message, err: error?.cause };
      log[CHANGING.has(method) ? 'info' : 'debug'](facts, 'admin call');
    },
    callerRefused: ({ code, message, cause }, peer) => {
      callersRefused.inc({ result: code.toLowerCase() });
      const address = peer.replace(/:\d+$/, '');
      seldom.happened(`caller ${address}: ${message}`, (times) => {
        log.warn({ peer: address, code, reason: message, times, err: cause }, 'caller refused');
      });
    },
    notKept: (error) => {
      notKept.inc();
      seldom.happened(error instanceof Error ? error.message : '', (times) => {
        log.error({ times, err: error }, 'the store does not take or give something; serving goes on');
      });
    },
    unlisted: (registry, { key, host }) => {
      const place = `${registry} ${key} ${host}`;
      if (warned.has(place) || warned.size >= 1_000) return;
      warned.add(place);
      const line = key === 'endpoint' ? `endpoint: https://${registry}` : `${key}: ["${host}"]`;
      log.warn({ registry, host, originsFile: `registries:\n  ${registry}:\n    ${line}` }, UNLISTED[key]);
    },
  };
}

/** What is missing in the origins file, and what to do about it. */
const UNLISTED = {
  endpoint: 'registry has a private address; to serve it, add these lines to CIRC_ORIGINS',
  redirectHosts: 'registry redirects to a private host; to follow it there, add these lines to CIRC_ORIGINS',
  tokenHosts: 'registry has its tokens given by another host; if that is right, add these lines to CIRC_ORIGINS',
} as const;

/** An error for several addresses has no words of its own. */
function reasonOf(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  return error.message || ('code' in error ? String(error.code) : error.name);
}

/** Calls of which the log is to tell who made them. */
const CHANGING = new Set(['Preheat', 'Evict', 'Verify']);

function gauge(name: string, help: string, value: () => number, metrics: MetricsRegistry): void {
  const made: Gauge = new Gauge({ name, help, registers: [], collect: () => made.set(value()) });
  metrics.registerMetric(made);
}
