import type { Counter } from 'prom-client';

/**
 * Lets a counter have a series for each of these values of a label before anything has happened. To Prometheus a counter
 * whose first sample is 1 has not increased: the first time would go unnoticed, and so would all that a node pulls before
 * it is scraped again.
 *
 * @param others further labels of all these series
 * @see https://prometheus.io/docs/practices/instrumentation/#avoid-missing-metrics
 */
export function fromZero<Label extends string>(
  counter: Counter<Label>,
  label: NoInfer<Label>,
  values: readonly string[],
  others?: Readonly<Partial<Record<NoInfer<Label>, string>>>,
): void {
  for (const value of values) counter.inc({ ...others, [label]: value } as Record<Label, string>, 0);
}
