import { getDomain } from 'tldts';
import { type Challenge, parseChallenges } from './challenge.ts';
import type { Origin } from './origin.ts';

/** A URL that every parser reads alike: no userinfo, backslash, fragment, or host in a spelling of its own. */
const PLAIN_URL =
  /^https?:\/\/(?<host>[a-z0-9-]+(?:\.[a-z0-9-]+)*|\[[0-9a-f:.]+\])(?::[0-9]{1,5})?(?:[/?][\x21\x24-\x5b\x5d-\x7e]*)?$/i;

/**
 * Where tokens for a Bearer challenge are to be fetched; undefined when that is not for this origin to say.
 *
 * Only the registry's own host, its registrable domain, or a host the operator named may be the realm: a realm of
 * somebody else's would make clients and circ carry credentials to wherever a registry points (CVE-2026-33540 was that).
 */
export function realmOf(origin: Origin, { parameters }: Challenge): URL | undefined {
  const text = parameters.get('realm') ?? '';
  const host = PLAIN_URL.exec(text)?.groups?.['host'];
  const url = host === undefined ? null : URL.parse(text);
  return url && url.hostname === host?.toLowerCase() && isRealmOf(origin, url) ? url : undefined;
}

/** May a client be sent to these challenges on this origin's word? They are passed on to it byte for byte. */
export function isRelayable(origin: Origin, lines: readonly string[]): boolean {
  const challenges = parseChallenges(lines);
  const isAnswerable = challenges?.some(({ scheme }) => scheme === 'bearer' || scheme === 'basic') === true;
  return isAnswerable && challenges.every((each) => each.scheme !== 'bearer' || realmOf(origin, each) !== undefined);
}

/** The host that a registry's challenge sends clients to, if that is not for this origin to say. */
export function foreignRealm(origin: Origin, lines: readonly string[]): string | undefined {
  const bearer = parseChallenges(lines)?.find(
    (each) => each.scheme === 'bearer' && realmOf(origin, each) === undefined,
  );
  return URL.parse(bearer?.parameters.get('realm') ?? '')?.host;
}

function isRealmOf(origin: Origin, realm: URL): boolean {
  const isScheme = realm.protocol === 'https:' || (realm.protocol === 'http:' && origin.endpoint.protocol === 'http:');
  if (!isScheme) return false;
  if (origin.isTokenHost(realm) || realm.host === origin.endpoint.host) return true;
  const domain = getDomain(realm.hostname, { allowPrivateDomains: true });
  return domain !== null && domain === getDomain(origin.endpoint.hostname, { allowPrivateDomains: true });
}
