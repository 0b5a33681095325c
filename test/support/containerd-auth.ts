/** What a pod's pull secret holds for a registry. */
export interface Secret {
  readonly user: string;
  readonly password: string;
}

/** What became of a challenge: the header for the next request, and how the token service answered on the way. */
export interface Authorized {
  /** Undefined: the client gives this host up. */
  readonly authorization: string | undefined;
  readonly asked: readonly { readonly method: string; readonly status: number }[];
}

/** What is in a challenge, by name. */
export function parametersOf(challenge: string): Record<string, string> {
  const pairs = [...challenge.matchAll(/(\w+)="([^"]*)"/g)];
  return Object.fromEntries(pairs.map(([, name = '', value = '']) => [name, value]));
}

export function basic({ user, password }: Secret): string {
  return `Basic ${Buffer.from(`${user}:${password}`).toString('base64')}`;
}

/**
 * Answers a 401 as containerd does: a Basic challenge with the secret itself; a Bearer challenge with a token from its
 * realm, for the challenge's scope and its own, by POST with the secret (by GET where POST is not known), by GET
 * without one.
 * @see https://github.com/containerd/containerd/blob/main/core/remotes/docker/authorizer.go
 */
export async function authorize(
  challenge: string | undefined,
  repository: string,
  secret?: Secret,
): Promise<Authorized> {
  if (challenge?.toLowerCase().startsWith('basic ') === true) {
    return { authorization: secret && basic(secret), asked: [] };
  }
  const { realm, service, scope } = parametersOf(challenge ?? '');
  if (realm === undefined) return { authorization: undefined, asked: [] };
  const scopes = new Set([`repository:${repository}:pull`, ...(scope === undefined ? [] : scope.split(' '))]);
  const wanted = { ...(service !== undefined && { service }), scopes: [...scopes].toSorted() };
  const asked: { method: string; status: number }[] = [];
  let answer = secret && (await post(realm, wanted, secret));
  if (answer) asked.push({ method: 'POST', status: answer.status });
  if (answer === undefined || [400, 401, 404, 405].includes(answer.status)) {
    answer = await get(realm, wanted, secret);
    asked.push({ method: 'GET', status: answer.status });
  }
  if (answer.status !== 200) return { authorization: undefined, asked };
  const { token, access_token: accessToken } = (await answer.json()) as { token?: string; access_token?: string };
  return { authorization: `Bearer ${token ?? accessToken}`, asked };
}

interface Wanted {
  readonly service?: string;
  readonly scopes: readonly string[];
}

async function post(realm: string, { service, scopes }: Wanted, { user, password }: Secret): Promise<Response> {
  const who: Record<string, string> =
    user === ''
      ? { grant_type: 'refresh_token', refresh_token: password }
      : { grant_type: 'password', username: user, password };
  const form = { ...who, ...(service !== undefined && { service }), client_id: 'containerd-client' };
  return await fetch(realm, { method: 'POST', body: new URLSearchParams({ ...form, scope: scopes.join(' ') }) });
}

async function get(realm: string, { service, scopes }: Wanted, secret: Secret | undefined): Promise<Response> {
  const url = new URL(realm);
  if (service !== undefined) url.searchParams.set('service', service);
  for (const scope of scopes) url.searchParams.append('scope', scope);
  return await fetch(url, { headers: secret ? { authorization: basic(secret) } : {} });
}
