import { pino } from 'pino';
import { Registry as MetricsRegistry } from 'prom-client';
import { agentEvents } from '../../agent/events.ts';
import { hostsEvents } from '../../agent/hosts/hosts-events.ts';
import { requestEvents } from '../../service/request-events.ts';
import { tlsEvents } from '../../service/tls-events.ts';
import { tierEvents } from '../../shared-tier/events.ts';
import { code, markdownTable } from './markdown.ts';

/** What a metric says of itself. */
export interface MetricDescription {
  readonly name: string;
  readonly type: string;
  readonly help: string;
  readonly labels: readonly string[];
}

const none = (): number => 0;

/** circ's own metrics of each program; a test compares them with a running one's. */
export function describeMetrics(): Record<'agent' | 'tier', MetricDescription[]> {
  const log = pino({ level: 'silent' });
  const agent = new MetricsRegistry();
  agentEvents(log, agent, { storeBytes: none, storeCapacityBytes: none, replicas: none });
  hostsEvents(log, agent, { url: 'http://127.0.0.1:5050' });
  const tier = new MetricsRegistry();
  const gauges = {
    origins: [],
    fetchesInFlight: none,
    fetchWaiters: none,
    storeBytes: none,
    storeCapacityBytes: none,
    agents: none,
  };
  tierEvents(log, tier, gauges);
  for (const metrics of [agent, tier]) {
    requestEvents(log, metrics);
    tlsEvents(log, metrics);
  }
  return { agent: describe(agent), tier: describe(tier) };
}

function describe(metrics: MetricsRegistry): MetricDescription[] {
  // What the library declares of a metric lacks what it was made of.
  const made = metrics.getMetricsAsArray() as unknown as (Omit<MetricDescription, 'labels'> & {
    labelNames: string[];
  })[];
  return made
    .map(({ name, type, help, labelNames }) => ({ name, type, help, labels: [...labelNames] }))
    .filter(({ name }) => name.startsWith('circ_'))
    .toSorted((a, b) => (a.name < b.name ? -1 : 1));
}

/** docs/metrics.md */
export function metricsDoc(): string {
  const { agent, tier } = describeMetrics();
  return `# Metrics

Made from the programs' own tables by \`npm run generate\`. Prometheus text at \`/metrics\` of the status ports: 5051 of each agent,
5062 of each replica of the shared tier. No label has names of images, digests, nodes or callers; \`origin\` is a registry of
CIRC_ORIGINS, or \`other\`.

## Agent

${table(agent)}
## Shared tier

${table(tier)}
## Of both

Node.js and the process, by the library's usual names; the ones that matter:

${markdownTable(
  ['metric', 'meaning'],
  [
    [
      '`nodejs_eventloop_lag_p99_seconds`',
      'how late the event loop was; an agent leaves a replica that is silent for 0.8 s',
    ],
    ['`process_resident_memory_bytes`', 'memory'],
    ['`process_cpu_seconds_total`', 'CPU time'],
    ['`process_open_fds`', 'files and sockets'],
  ],
)}
## Dashboard and alerts

\`manifests/circ/files/dashboard.json\` can be imported into Grafana, \`alerts.yaml\` beside it is a file of rules for Prometheus; the
chart brings both to their operators (\`monitoring.dashboard\`, \`monitoring.enabled\`). Both expect the labels that the chart's
monitors give: \`job\` is \`circ-agent\` or \`circ-shared-tier\`, \`instance\` the name of the node or of the pod. Who scrapes
otherwise has to relabel.

## What they answer

Outcomes: \`node-hit\` (from the node's disk), \`tier-hit\` (from the shared tier's store), \`origin\` (had to be fetched), \`denied\`
(refused by the registry, or not there), \`unavailable\`, \`error\`.

${markdownTable(
  ['question', 'PromQL'],
  QUESTIONS.map(([question, query]) => [question, code(query)]),
)}`;
}

/** Whose metrics are in the tables above; a test holds that. */
export const QUESTIONS: readonly (readonly [string, string])[] = [
  [
    'hit rate by requests, of nodes',
    'sum(rate(circ_requests_total{outcome="node-hit",kind!="ping"}[5m])) / sum(rate(circ_requests_total{outcome=~"node-hit|tier-hit|origin",kind!="ping"}[5m]))',
  ],
  [
    'hit rate by requests, of the shared tier',
    'sum(rate(circ_questions_total{outcome="tier-hit"}[5m])) / sum(rate(circ_questions_total{outcome=~"tier-hit|origin"}[5m]))',
  ],
  [
    'hit rate by bytes, nodes and shared tier',
    'sum(rate(circ_served_bytes_total{outcome=~"node-hit|tier-hit"}[5m])) / sum(rate(circ_served_bytes_total[5m]))',
  ],
  ['bytes saved, a second', 'sum(rate(circ_served_bytes_total[5m])) - sum(rate(circ_origin_bytes_total[5m]))'],
  ['requests to registries, a second', 'sum by (origin, status) (rate(circ_origin_requests_total[5m]))'],
  ['refused, or undecided, proofs', 'sum by (result) (rate(circ_proofs_total[5m]))'],
  ['fetches that failed', 'sum by (result) (rate(circ_fetches_total{result!="ok"}[5m]))'],
  ['fetches under way', 'sum(circ_fetches_in_flight)'],
  ['readers that wait for them', 'sum(circ_fetch_waiters)'],
  ['what two replicas may have fetched', 'sum(rate(circ_fetch_duplicates_total[5m]))'],
  [
    'first byte of a blob, 95th percentile',
    'histogram_quantile(0.95, sum by (le) (rate(circ_first_byte_seconds_bucket[5m])))',
  ],
  ['what the Kubernetes API is asked for leases', 'sum by (verb, result) (rate(circ_lease_operations_total[5m]))'],
  ['how full the stores are', 'circ_store_bytes / circ_store_capacity_bytes'],
  ['evictions', 'sum by (reason) (rate(circ_evictions_total[5m]))'],
];

function table(metrics: readonly MetricDescription[]): string {
  const rows = metrics.map(({ name, type, help, labels }) => [code(name), type, labels.map(code).join(', '), help]);
  return markdownTable(['metric', 'type', 'labels', 'meaning'], rows);
}
