import { Counter, Histogram, type Registry as MetricsRegistry } from 'prom-client';
import { type OciRequest } from '../oci/request.ts';
import { formatReference } from '../oci/reference.ts';
import { fromZero } from './from-zero.ts';
import type { Logger } from './log.ts';
import type { OtherRequest, RequestReport } from './exchange.ts';
import { ORIGINS, OUTCOMES } from './oci-source.ts';

/** Where log line and metrics of a request are made. */
export function requestEvents(log: Logger, metrics: MetricsRegistry): (report: RequestReport) => void {
  const registers = [metrics];
  const requests = new Counter({
    name: 'circ_requests_total',
    help: 'Requests, by what they asked for and what became of them',
    labelNames: ['kind', 'outcome'],
    registers,
  });
  const served = new Counter({
    name: 'circ_served_bytes_total',
    help: 'Bytes of manifests and blobs sent to clients, by where they came from',
    labelNames: ['outcome'],
    registers,
  });
  const firstByte = new Histogram({
    name: 'circ_first_byte_seconds',
    help: 'Time from request to the first byte of a blob',
    labelNames: ['outcome'],
    buckets: [0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1, 3, 10, 25],
    registers,
  });
  for (const kind of ['manifest', 'blob']) fromZero(requests, 'outcome', OUTCOMES, { kind });
  fromZero(served, 'outcome', ORIGINS);

  return ({ request, method, status, outcome, bytes, durationMs, firstByteMs, error }) => {
    requests.inc({ kind: request?.kind ?? 'invalid', outcome });
    if (bytes > 0) served.inc({ outcome }, bytes);
    if (firstByteMs !== undefined) firstByte.observe({ outcome }, firstByteMs / 1000);
    const level = request?.kind === 'ping' ? 'debug' : error?.code === 'INTERNAL' ? 'error' : 'info';
    log[level](
      {
        method,
        ...describe(request),
        status,
        outcome,
        bytes,
        ms: Math.round(durationMs * 10) / 10,
        ...(error && {
          code: error.code,
          reason: error.message,
          ...(error.cause !== undefined && { err: error.cause }),
        }),
      },
      'request',
    );
  };
}

function describe(request: OciRequest | OtherRequest | undefined): Record<string, string> {
  if (!request || request.kind === 'ping') return { kind: request?.kind ?? 'invalid' };
  const { kind, registry, repository } = request;
  return { kind, registry, repository, reference: referenceOf(request) };
}

function referenceOf(request: Exclude<OciRequest, { kind: 'ping' }> | OtherRequest): string {
  if (request.kind === 'blob') return request.digest;
  if (request.kind === 'list') return request.subject ?? '';
  return request.kind === 'manifest' ? formatReference(request.reference) : request.reference;
}
