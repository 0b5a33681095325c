import { type Secret, authorize } from '../containerd-auth.ts';
import { type Answer, ask } from '../origin-client.ts';
import { MEDIA_TYPES } from '../origin-content.ts';
import type { RegistryKind, TestRegistry } from './registry.ts';

export const PUBLIC = 'library/app';
/** Of the user whose secret is known. */
export const PRIVATE = 'team/secret';
/** Of somebody else. */
export const OTHER = 'other/secret';
export const MISSING = 'no/such';

/** A registry with an image in each of the repositories, all with the same layer. */
export interface Stocked extends AsyncDisposable {
  readonly registry: TestRegistry;
  readonly secret: Secret | undefined;
  readonly layer: string;
}

/** Starts a registry and fills it. What knows no private images has public ones only, and the other way round. */
export async function stocked(kind: RegistryKind, layer = Buffer.from('the layer')): Promise<Stocked> {
  const { user, hasPublic } = kind;
  const secret = user === undefined ? undefined : { user, password: 'open sesame' };
  const identityToken = 'an identity token';
  const users = secret
    ? { [secret.user]: { password: secret.password, repositories: [PRIVATE], identityToken } }
    : undefined;
  const privateRepositories = secret ? [PRIVATE, OTHER, ...(hasPublic ? [] : [PUBLIC])] : [];
  const registry = await kind.start({ privateRepositories, ...(users && { users }) });
  const images = await Promise.all(
    [PUBLIC, PRIVATE, OTHER].map((repository) => registry.addImage(repository, 'v1', { layers: [layer] })),
  );
  return {
    registry,
    secret,
    layer: images[0]?.layers[0]?.digest ?? '',
    [Symbol.asyncDispose]: () => registry[Symbol.asyncDispose](),
  };
}

/** How far a client comes that does as containerd does. */
export interface Knocked {
  readonly bare: Answer;
  /** Statuses of the token requests, with their methods, such as `POST 404`. */
  readonly tokens: readonly string[];
  readonly authorization: string | undefined;
  /** The second answer; the first one where there was no second request. */
  readonly answer: Answer;
}

/** Asks bare, and when that is a 401, with what its challenge leads to. */
export async function knock(
  { registry }: Stocked,
  repository: string,
  options: { secret?: Secret | undefined; path?: string; method?: string } = {},
): Promise<Knocked> {
  const { secret, path = 'manifests/v1', method = 'HEAD' } = options;
  const url = `${registry.url}/v2/${repository}/${path}`;
  const accept = MEDIA_TYPES.oci.manifest;
  const bare = await ask(url, { method, headers: { accept } });
  if (bare.status !== 401) return { bare, tokens: [], authorization: undefined, answer: bare };
  const { authorization, asked } = await authorize(bare.headers['www-authenticate'], repository, secret);
  const tokens = asked.map((each) => `${each.method} ${each.status}`);
  if (authorization === undefined) return { bare, tokens, authorization, answer: bare };
  return { bare, tokens, authorization, answer: await ask(url, { method, headers: { accept, authorization } }) };
}

/** Where an answer leads, asked with these headers. */
export async function follow({ headers }: Answer, method = 'GET', more: Record<string, string> = {}): Promise<Answer> {
  return await ask(headers.location ?? '', { method, headers: more });
}
