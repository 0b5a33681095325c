import { lookup } from 'node:dns';
import { type LookupFunction, isIP } from 'node:net';
import { rootCertificates } from 'node:tls';
import { Agent, type Dispatcher, Pool, ProxyAgent, buildConnector } from 'undici';
import { hostOf } from '../../service/units.ts';
import { OciError } from '../../oci/error.ts';
import type { AddressGuard } from './address-guard.ts';
import type { Origin } from './origin.ts';

/** Time to a connection, TLS included. */
const CONNECT_MS = 5_000;
const SILENCE_MS = 10_000;

export interface DispatcherOptions {
  readonly origin: Origin;
  readonly guard: AddressGuard;
  /** Egress proxy. It dials then, so addresses behind names are its to judge; literal addresses are still judged here. */
  readonly proxy: string | undefined;
  /** Connections to one host. */
  readonly connections: number;
  /** No byte for this long is a broken connection; 10 s unless given. */
  readonly silenceMs?: number | undefined;
}

/** HTTP/1.1 connections to one origin and where it redirects to. HTTP/2 would put all bytes on one connection. */
export function createDispatcher(options: DispatcherOptions): Dispatcher {
  const { origin, guard, proxy, connections, silenceMs = SILENCE_MS } = options;
  const ca = origin.ca === undefined ? {} : { ca: [...rootCertificates, origin.ca] };
  const limits = {
    connections,
    headersTimeout: silenceMs,
    bodyTimeout: silenceMs,
    keepAliveTimeout: 30_000,
    allowH2: false,
  };
  if (proxy !== undefined) {
    return new ProxyAgent({
      uri: proxy,
      ...limits,
      requestTls: ca,
      connectTimeout: CONNECT_MS,
      // Undici applies the limits neither to what the proxy is asked for nor to plain http through it.
      clientFactory: (url, more) => new Pool(url, { ...more, headersTimeout: silenceMs, allowH2: false }),
      factory: (url, more: Pool.Options) => new Pool(url, { ...more, ...limits }),
    });
  }

  const trusted = buildConnector({ ...ca, timeout: CONNECT_MS, allowH2: false });
  const guarded = buildConnector({ ...ca, timeout: CONNECT_MS, allowH2: false, lookup: guardedLookup(guard) });
  return new Agent({
    ...limits,
    connect: (target, callback) => {
      const url = new URL(`${target.protocol}//${target.host ?? target.hostname}`);
      (origin.isTrusted(url) ? trusted : guarded)(target, callback);
    },
  });
}

/**
 * Refuses to go where nobody may be sent: other schemes than https (and http to what the operator trusts), names with
 * credentials, literal private addresses. Names are judged by their addresses when they are dialled.
 *
 * @throws OciError NAME_UNKNOWN
 */
export function assertDialable(url: URL, { origin, guard }: Pick<DispatcherOptions, 'origin' | 'guard'>): void {
  const host = hostOf(url);
  const isTrusted = origin.isTrusted(url);
  const isScheme = url.protocol === 'https:' || (url.protocol === 'http:' && isTrusted);
  const isAddress = isIP(host) === 0 || isTrusted || guard.isPublic(host);
  if (!isScheme || !isAddress || url.username !== '' || url.password !== '') throw new PrivateAddressError(url.host);
}

/** Every address of the name is judged, and what was judged is what is dialled: no second look-up can change it. */
function guardedLookup(guard: AddressGuard): LookupFunction {
  return (hostname, options, callback) => {
    lookup(hostname, { ...options, all: true }, (error, addresses) => {
      const [first] = addresses ?? [];
      if (error) callback(error, '');
      else if (!first || !addresses.every(({ address }) => guard.isPublic(address)))
        callback(new PrivateAddressError(hostname), '');
      else if (options.all) callback(null, addresses);
      else callback(null, first.address, first.family);
    });
  };
}

/** The operator is told how to allow it; the client only that it is not served. */
export class PrivateAddressError extends OciError {
  /** Where it would have led; the port, if there is one, where that is known. */
  readonly host: string;

  constructor(host: string) {
    super('NAME_UNKNOWN', 'this registry is not served here');
    this.host = host;
  }
}
