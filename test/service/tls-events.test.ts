import { pino } from 'pino';
import { Registry } from 'prom-client';
import { expect, test } from 'vitest';
import { tlsEvents } from '../../service/tls-events.ts';
import { Scrape } from '../support/house-metrics.ts';

const ENDS_AT_MS = Date.UTC(2030, 0, 1);
const contents = { cert: Buffer.from('c'), key: Buffer.from('k'), ca: undefined, endsAtMs: ENDS_AT_MS };

function listening() {
  const lines: Record<string, unknown>[] = [];
  const metrics = new Registry();
  const log = pino({ level: 'debug' }, { write: (line) => lines.push(JSON.parse(line) as Record<string, unknown>) });
  const events = tlsEvents(log, metrics)('shared-tier', 'CIRC_TLS_*');
  const text = async (): Promise<string> => await metrics.metrics();
  return { events, lines, text, scrape: async () => new Scrape(await text()) };
}

test('a certificate shows when it ends, and how its changes went', async () => {
  const { events, lines, scrape, text } = listening();
  const certificate = 'shared-tier';
  events.loaded(contents);
  expect(lines).toEqual([]); // the start is no change
  expect(await text()).toContain(`circ_tls_reloads_total{certificate="${certificate}",result="kept"} 0\n`);
  events.loaded({ ...contents, endsAtMs: ENDS_AT_MS + 1_000 });
  events.kept(new Error('tls.crt is no certificate'));
  const metrics = await scrape();
  expect(metrics.sum('circ_tls_certificate_end_seconds', { certificate })).toBe(ENDS_AT_MS / 1000 + 1);
  expect(metrics.sum('circ_tls_reloads_total', { certificate, result: 'ok' })).toBe(1);
  expect(metrics.sum('circ_tls_reloads_total', { certificate, result: 'kept' })).toBe(1);
  expect(lines.map(({ level, certificate: name }) => [level, name])).toEqual([
    [30, certificate],
    [50, certificate],
  ]);
  expect(JSON.stringify(lines[1])).toContain('tls.crt is no certificate');
});

test('a certificate that has ended is an error with its time and the variables to look at', () => {
  const { events, lines } = listening();
  events.ended(contents);
  expect(lines).toEqual([
    expect.objectContaining({ level: 50, ended: '2030-01-01T00:00:00.000Z', variables: 'CIRC_TLS_*' }),
  ]);
});

test('failed handshakes are all counted, and each reason is told once', async () => {
  const { events, lines, scrape } = listening();
  const unknownCa = Object.assign(new Error('alert'), { code: 'ERR_SSL_TLSV1_ALERT_UNKNOWN_CA' });
  for (let time = 0; time < 3; time += 1) events.handshakeFailed(unknownCa);
  events.handshakeFailed(new Error('read ECONNRESET'));
  expect((await scrape()).sum('circ_tls_handshake_failures_total')).toBe(4);
  expect(lines.map(({ code }) => code)).toEqual(['ERR_SSL_TLSV1_ALERT_UNKNOWN_CA', 'read ECONNRESET']);
});
