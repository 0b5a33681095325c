import { pino } from 'pino';
import { Registry } from 'prom-client';
import { expect, test } from 'vitest';
import { agentEvents } from '../../agent/events.ts';

const none = (): number => 0;

test('what an alert looks at is counted from 0 on, so that the first time is seen', async () => {
  const metrics = new Registry();
  agentEvents(pino({ level: 'silent' }), metrics, { storeBytes: none, storeCapacityBytes: none, replicas: none });
  const text = await metrics.metrics();
  for (const series of [
    'circ_evictions_total{reason="damaged"}',
    'circ_tier_distrusts_total{kind="certificate"}',
    'circ_tier_distrusts_total{kind="identity"}',
    'circ_fills_failed_total',
    'circ_store_errors_total',
  ]) {
    expect(text).toContain(`\n${series} 0\n`);
  }
});
