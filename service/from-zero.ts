import type { Counter, LabelValues } from 'prom-client';

/**
 * Lets a counter have these series before anything has happened. Prometheus takes a series that begins with 1 for one that
 * has not changed: an alert on `increase()` would miss the first time.
 *
 * @see https://prometheus.io/docs/practices/instrumentation/#avoid-missing-metrics
 */
export function fromZero<Label extends string>(counter: Counter<Label>, series: readonly LabelValues<Label>[]): void {
  for (const labels of series) counter.inc(labels, 0);
}
