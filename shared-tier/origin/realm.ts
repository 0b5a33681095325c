import { getDomain } from 'tldts';
import type { Origin } from './origin.ts';

/**
 * May a token be fetched from this realm on this registry's word? Only from the registry's own host, from its
 * registrable domain, or from a host the operator named: a realm of somebody else's would make circ carry requests, and
 * later credentials, to wherever a registry points (CVE-2026-33540 was that).
 */
export function isRealmOf(origin: Origin, realm: URL): boolean {
  if (realm.username !== '' || realm.password !== '') return false;
  const isScheme = realm.protocol === 'https:' || (realm.protocol === 'http:' && origin.endpoint.protocol === 'http:');
  if (!isScheme) return false;
  if (origin.isTokenHost(realm) || realm.host === origin.endpoint.host) return true;
  const domain = getDomain(realm.hostname, { allowPrivateDomains: true });
  return domain !== null && domain === getDomain(origin.endpoint.hostname, { allowPrivateDomains: true });
}
