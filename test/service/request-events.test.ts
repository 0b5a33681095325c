import { pino } from 'pino';
import { Registry as MetricsRegistry } from 'prom-client';
import { describe, expect, test } from 'vitest';
import { digestOf } from '../../oci/digest.ts';
import { OciError } from '../../oci/error.ts';
import { parseRegistry } from '../../oci/reference.ts';
import { parseRequest } from '../../oci/request.ts';
import type { RequestReport } from '../../service/exchange.ts';
import { requestEvents } from '../../service/request-events.ts';
import { Scrape } from '../support/house-metrics.ts';

const NAMES = { default: parseRegistry('docker.io'), isListed: () => false };
const DIGEST = digestOf(Buffer.from('a'));

function events(level = 'info') {
  const lines: Record<string, unknown>[] = [];
  const metrics = new MetricsRegistry();
  const log = pino({ level }, { write: (line) => lines.push(JSON.parse(line) as Record<string, unknown>) });
  return { lines, report: requestEvents(log, metrics), scrape: async () => new Scrape(await metrics.metrics()) };
}

function report(url: string, more: Partial<RequestReport> = {}): RequestReport {
  const request = parseRequest({ method: 'GET', url, headers: {} }, NAMES);
  return {
    request,
    method: 'GET',
    status: 200,
    outcome: 'node-hit',
    bytes: 0,
    durationMs: 1.25,
    firstByteMs: undefined,
    error: undefined,
    ...more,
  };
}

describe('requestEvents', () => {
  test('write one line a request, with its outcome', () => {
    const { lines, report: tell } = events();
    tell(report(`/v2/org/app/blobs/${DIGEST}?ns=quay.io`, { bytes: 7, outcome: 'origin' }));
    tell(report('/v2/org/app/manifests/v1', { status: 404, outcome: 'denied' }));
    expect(lines).toMatchObject([
      {
        msg: 'request',
        kind: 'blob',
        registry: 'quay.io',
        repository: 'org/app',
        reference: DIGEST,
        outcome: 'origin',
        bytes: 7,
      },
      { msg: 'request', kind: 'manifest', registry: 'docker.io', reference: 'v1', status: 404, outcome: 'denied' },
    ]);
  });

  test('write pings at debug only, and bugs as errors', () => {
    const { lines, report: tell } = events();
    tell(report('/v2/'));
    expect(lines).toEqual([]);
    const error = OciError.from(new TypeError('a bug'));
    tell(report('/v2/org/app/manifests/v1', { status: 500, outcome: 'error', error }));
    expect(lines).toMatchObject([{ level: 50, code: 'INTERNAL', err: { message: 'a bug', type: 'TypeError' } }]);
  });

  test('count requests by kind and outcome, bytes by outcome, and time first bytes', async () => {
    const { report: tell, scrape } = events('silent');
    tell(report(`/v2/org/app/blobs/${DIGEST}`, { bytes: 7, outcome: 'origin', firstByteMs: 20 }));
    tell(report(`/v2/org/app/blobs/${DIGEST}`, { bytes: 5, outcome: 'origin', firstByteMs: 20 }));
    tell(report('/v2/org/app/manifests/v1', { status: 503, outcome: 'unavailable' }));
    tell({ ...report('/v2/'), request: undefined, outcome: 'error' });
    const metrics = await scrape();
    expect(metrics.sum('circ_requests_total', { kind: 'blob', outcome: 'origin' })).toBe(2);
    expect(metrics.sum('circ_requests_total', { kind: 'manifest', outcome: 'unavailable' })).toBe(1);
    expect(metrics.sum('circ_requests_total', { kind: 'invalid', outcome: 'error' })).toBe(1);
    expect(metrics.sum('circ_served_bytes_total', { outcome: 'origin' })).toBe(12);
    expect(metrics.sum('circ_first_byte_seconds_count', { outcome: 'origin' })).toBe(2);
    expect(metrics.sum('circ_first_byte_seconds_sum')).toBeCloseTo(0.04, 5);
  });

  test('make no label of what a client chose', async () => {
    const { report: tell, scrape } = events('silent');
    for (let n = 0; n < 100; n += 1) tell(report(`/v2/org/app${n}/manifests/v${n}?ns=a${n}.test`));
    expect((await scrape()).sum('circ_requests_total', { kind: 'manifest', outcome: 'node-hit' })).toBe(100);
  });
});
