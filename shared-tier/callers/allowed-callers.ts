/** Who may call the gRPC services. */
export type AllowedCallers =
  | { readonly kind: 'any' }
  /** ServiceAccounts, proved by tokens for this audience; as `system:serviceaccount:NAMESPACE:NAME`. */
  | { readonly kind: 'tokenreview'; readonly audience: string; readonly users: ReadonlySet<string> }
  /** Holders of certificates of the trusted CA that have one of these DNS names or URIs. */
  | { readonly kind: 'mtls'; readonly names: ReadonlySet<string> };

const LABEL = '[a-z0-9](?:[-a-z0-9]*[a-z0-9])?';
const ACCOUNT = new RegExp(`^(${LABEL})/(${LABEL}(?:\\.${LABEL})*)$`);
const EXPECTED = 'any, tokenreview:AUDIENCE:NAMESPACE/SERVICEACCOUNT,… or mtls:SAN,…';

/**
 * `tokenreview:circ:circ/agent,ops/circctl`, `mtls:agent.circ.svc,spiffe://cluster.local/ns/circ/sa/agent`, `any`. The
 * audience may have colons, as URLs do.
 *
 * @throws Error with what is expected
 */
export function parseAllowedCallers(text: string): AllowedCallers {
  if (text === 'any') return { kind: 'any' };
  const mtls = /^mtls:(.+)$/.exec(text)?.[1]?.split(',');
  if (mtls?.every((name) => /^[^\s,]+$/.test(name))) return { kind: 'mtls', names: new Set(mtls.map(normalName)) };
  const [, audience, list] = /^tokenreview:(\S+):([^:]+)$/.exec(text) ?? [];
  const accounts = list?.split(',').map((account) => ACCOUNT.exec(account));
  if (audience === undefined || !accounts?.every((account) => account !== null)) throw new Error(EXPECTED);
  const users = accounts.map(([, namespace, name]) => `system:serviceaccount:${namespace}:${name}`);
  return { kind: 'tokenreview', audience, users: new Set(users) };
}

/** Names of hosts have no case; URIs do. */
export function normalName(name: string): string {
  return name.includes('://') ? name : name.toLowerCase();
}
