import type { Registry as MetricsRegistry } from 'prom-client';

/** What the shared tier has done since its start. */
export interface Totals {
  /** Questions and requests that were answered without, and with, bytes of an origin. */
  readonly hits: number;
  readonly misses: number;
  readonly servedBytes: number;
  readonly originBytes: number;
  readonly originRequests: number;
}

/** Reads them from the metrics, so that no two places count the same. */
export async function readTotals(metrics: MetricsRegistry): Promise<Totals> {
  const sum = async (name: string, labels: Readonly<Record<string, string>> = {}): Promise<number> => {
    const { values = [] } = (await metrics.getSingleMetric(name)?.get()) ?? {};
    const matching = values.filter((value) =>
      Object.entries(labels).every(([label, wanted]) => (value.labels as Record<string, unknown>)[label] === wanted),
    );
    return matching.reduce((total, { value }) => total + value, 0);
  };
  const [questions, requests] = ['circ_questions_total', 'circ_requests_total'];
  return {
    hits: (await sum(questions, { outcome: 'tier-hit' })) + (await sum(requests, { outcome: 'tier-hit' })),
    misses: (await sum(questions, { outcome: 'origin' })) + (await sum(requests, { outcome: 'origin' })),
    servedBytes: (await sum('circ_read_bytes_total')) + (await sum('circ_served_bytes_total')),
    originBytes: await sum('circ_origin_bytes_total'),
    originRequests: await sum('circ_origin_requests_total'),
  };
}
