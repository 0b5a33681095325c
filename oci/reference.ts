import { type Digest, isDigest, parseDigest } from './digest.ts';
import { OciError } from './error.ts';

declare const registry: unique symbol;
declare const repository: unique symbol;

/** A registry's one name inside circ: lower-case `host[:port]`, `:443` dropped, Docker Hub always `docker.io`. */
export type Registry = string & { readonly [registry]: true };

/** A repository's path within its registry, checked against the distribution spec's grammar. */
export type Repository = string & { readonly [repository]: true };

/** What a manifest is asked by. */
export type Reference =
  | { readonly kind: 'tag'; readonly tag: string }
  | { readonly kind: 'digest'; readonly digest: Digest };

export const DOCKER_HUB = 'docker.io' as Registry;
const DOCKER_HUB_ALIASES = new Set(['docker.io', 'index.docker.io', 'registry-1.docker.io']);

const LABEL = '[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?';
// Without the flag `u`: with it, `i` takes the Kelvin sign for a k, as toLowerCase does.
const HOST = new RegExp(`^(?:${LABEL}(?:\\.${LABEL})*|\\[[0-9a-f:.]{2,45}\\])(?::([0-9]{1,5}))?$`, 'i');

/**
 * Host and optional port as written in an image name or `ns`; nothing else (no scheme, path, userinfo, trailing dot).
 * Whether such a registry may be reached is not decided here.
 *
 * @throws OciError NAME_INVALID
 */
export function parseRegistry(text: string): Registry {
  const match = text.length <= 260 ? HOST.exec(text) : null;
  // URL has the last word: it refuses what nothing could dial, and gives addresses and ports their one spelling.
  const url = match && Number(match[1] ?? 443) !== 0 ? URL.parse(`https://${text}`) : null;
  if (!url) throw new OciError('NAME_INVALID', 'a registry is named by host or host:port');
  return (DOCKER_HUB_ALIASES.has(url.host) ? DOCKER_HUB : url.host) as Registry;
}

// https://github.com/opencontainers/distribution-spec/blob/main/spec.md#pulling-manifests
const COMPONENT = '[a-z0-9]+(?:(?:\\.|_|__|-+)[a-z0-9]+)*';
const REPOSITORY = new RegExp(`^${COMPONENT}(?:/${COMPONENT})*$`);
const TAG = /^[a-zA-Z0-9_][a-zA-Z0-9._-]{0,127}$/;
const MAX_NAME = 255;

/**
 * One-component names of Docker Hub get their `library/`, so that one repository has one spelling.
 *
 * @throws OciError NAME_INVALID
 */
export function parseRepository(text: string, of: Registry): Repository {
  if (text.length > MAX_NAME || !REPOSITORY.test(text)) {
    throw new OciError('NAME_INVALID', 'a repository name is lower-case components separated by single slashes');
  }
  return (of === DOCKER_HUB && !text.includes('/') ? `library/${text}` : text) as Repository;
}

/** @throws OciError TAG_INVALID or DIGEST_INVALID */
export function parseReference(text: string): Reference {
  if (isDigest(text)) return { kind: 'digest', digest: text };
  if (text.includes(':')) return { kind: 'digest', digest: parseDigest(text) };
  if (!TAG.test(text)) throw new OciError('TAG_INVALID', 'a tag has at most 128 letters, digits, "_", "." and "-"');
  return { kind: 'tag', tag: text };
}

export function formatReference(reference: Reference): string {
  return reference.kind === 'tag' ? reference.tag : reference.digest;
}
