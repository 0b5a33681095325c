import { pino } from 'pino';
import { Registry } from 'prom-client';
import { expect, test } from 'vitest';
import { tierEvents } from '../../shared-tier/events.ts';

const none = (): number => 0;
const GAUGES = { fetchesInFlight: none, fetchWaiters: none, storeBytes: none, storeCapacityBytes: none, agents: none };

test('what an alert looks at is counted from 0 on, so that the first time is seen', async () => {
  const metrics = new Registry();
  tierEvents(pino({ level: 'silent' }), metrics, GAUGES);
  const text = await metrics.metrics();
  for (const series of [
    'circ_evictions_total{reason="damaged"}',
    'circ_callers_refused_total{result="unauthorized"}',
    'circ_callers_refused_total{result="unavailable"}',
    'circ_fetch_duplicates_total',
    'circ_store_errors_total',
  ]) {
    expect(text).toContain(`\n${series} 0\n`);
  }
});
