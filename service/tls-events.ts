import { LRUCache } from 'lru-cache';
import { Counter, Gauge, type Registry as MetricsRegistry } from 'prom-client';
import { fromZero } from './from-zero.ts';
import type { Logger } from './log.ts';
import type { TlsMaterialEvents } from './tls-material.ts';

/** What happens with one certificate: its metrics and log lines together. */
export interface TlsEvents extends TlsMaterialEvents {
  /** A client of ours went away before there was a connection. */
  readonly handshakeFailed: (error: Error) => void;
}

/** A client that is set up wrongly comes again and again: the same reason is told once in this time. */
const TELL_AGAIN_MS = 10 * 60_000;

/**
 * @param variables for log lines: what to look at, such as `CIRC_TLS_*`
 * @returns for each certificate, by the name it has in the metrics, its events
 */
export function tlsEvents(log: Logger, metrics: MetricsRegistry): (name: string, variables: string) => TlsEvents {
  const registers = [metrics];
  const ends = new Gauge({
    name: 'circ_tls_certificate_end_seconds',
    help: 'When the certificate in use ends, in seconds since 1970',
    labelNames: ['certificate'],
    registers,
  });
  const reloads = new Counter({
    name: 'circ_tls_reloads_total',
    help: 'Changes of certificate files that were seen: taken (ok), or refused because they cannot be used (kept)',
    labelNames: ['certificate', 'result'],
    registers,
  });
  const failures = new Counter({
    name: 'circ_tls_handshake_failures_total',
    help: 'Connections of clients that ended before TLS was agreed on',
    labelNames: ['certificate'],
    registers,
  });

  return (certificate, variables) => {
    fromZero(reloads, 'result', ['ok', 'kept'], { certificate });
    const told = new LRUCache<string, true>({ max: 100, ttl: TELL_AGAIN_MS });
    let isFirst = true;
    return {
      loaded: ({ endsAtMs }) => {
        if (endsAtMs !== undefined) ends.set({ certificate }, endsAtMs / 1000);
        if (!isFirst) {
          reloads.inc({ certificate, result: 'ok' });
          log.info({ certificate, ends: iso(endsAtMs) }, 'certificate files have changed and are in use');
        }
        isFirst = false;
      },
      kept: (error) => {
        reloads.inc({ certificate, result: 'kept' });
        log.error({ certificate, variables, err: error }, 'new certificate files cannot be used; the old ones stay');
      },
      ended: ({ endsAtMs }) => {
        log.error({ certificate, variables, ended: iso(endsAtMs) }, 'the certificate has ended; renew it');
      },
      handshakeFailed: (error) => {
        failures.inc({ certificate });
        const code = 'code' in error ? String(error.code) : error.message;
        if (told.has(code)) return;
        told.set(code, true);
        log.warn(
          { certificate, code, err: error },
          'a client cannot agree on TLS; does it trust our certificate’s CA?',
        );
      },
    };
  };
}

function iso(timeMs: number | undefined): string | undefined {
  return timeMs === undefined ? undefined : new Date(timeMs).toISOString();
}
