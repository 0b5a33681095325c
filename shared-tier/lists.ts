import { OCI_INDEX } from '../oci/descriptor.ts';
import type { Digest } from '../oci/digest.ts';
import { OciError } from '../oci/error.ts';
import type { Repository } from '../oci/reference.ts';
import type { ListAnswer } from '../service/oci-source.ts';
import type { Access, Question } from './access/access.ts';
import { answerFor } from './access/caller.ts';
import type { Credential } from './origin/credential.ts';
import type { OriginClient } from './origin/origin-clients.ts';
import { formatReferrers, readReferrersTag } from './referrers-tag.ts';

/** For every request and answer of one list together. */
const LIST_MS = 18_000;

export interface ListQuestion extends Pick<Question, 'asker' | 'place'> {
  /** Whose referrers; undefined: the tags. */
  readonly subject: Digest | undefined;
  /** Which part of the list, as the client says it. */
  readonly query: URLSearchParams;
}

/**
 * Asks the registry for a list, with the caller's own credentials, each time: a list changes whenever somebody pushes, and
 * nothing tells. So nothing of it is kept, nor served when the registry is away.
 *
 * @throws OciError NAME_UNKNOWN for a registry that may not be reached, and for what is not there or not for this caller;
 *   UNAUTHORIZED with a challenge; UNAVAILABLE
 */
export async function listFor(access: Access, { asker, place, subject, query }: ListQuestion): Promise<ListAnswer> {
  const { client, caller } = access.enter(asker, place);
  const { credential } = caller;
  const options = { credential, maxAgeMs: access.maxAgeMs, signal: AbortSignal.timeout(LIST_MS) };
  try {
    if (subject === undefined) return await ask(client, place.repository, 'tags/list', query, options);
    return await referrers(client, place.repository, subject, query, options);
  } catch (reason) {
    throw answerFor(caller, 'list', OciError.from(reason));
  }
}

interface Asking {
  readonly credential: Credential;
  /** See `Unsigned`. */
  readonly maxAgeMs: number;
  readonly signal: AbortSignal;
}

async function ask(
  { registry }: OriginClient,
  repository: Repository,
  path: string,
  query: URLSearchParams,
  options: Asking,
): Promise<ListAnswer> {
  const isTags = path === 'tags/list';
  const asked = `${path}${query.size > 0 ? `?${query.toString()}` : ''}`;
  const accept = [isTags ? 'application/json' : OCI_INDEX];
  const { mediaType, content, link, filters } = await registry.getList(repository, asked, { accept, ...options });
  // A login page or a captive portal answers 200 as well. Where referrers are not known it may be what is there instead.
  if (isTags && mediaType === 'text/html') throw new OciError('UNAVAILABLE', 'the origin gave no usable answer');
  if (!isTags && mediaType !== OCI_INDEX) throw new OciError('NAME_UNKNOWN', 'no list of referrers');
  return { content, next: nextOf(link, repository, path), filters };
}

async function referrers(
  client: OriginClient,
  repository: Repository,
  subject: Digest,
  query: URLSearchParams,
  options: Asking,
): Promise<ListAnswer> {
  try {
    return await ask(client, repository, `referrers/${subject}`, query, options);
  } catch (reason) {
    const error = OciError.from(reason);
    if (error.code !== 'NAME_UNKNOWN' || error.denied) throw error;
    return await byTag(client, repository, subject, query, options);
  }
}

/** Registries without the referrers API have a tag instead, which clients keep, and what is pushed through here. */
async function byTag(
  { registry }: OriginClient,
  repository: Repository,
  subject: Digest,
  query: URLSearchParams,
  options: Asking,
): Promise<ListAnswer> {
  const type = query.get('artifactType') ?? undefined;
  const all = await readReferrersTag(registry, repository, subject, options);
  const wanted = all.filter(({ artifactType }) => type === undefined || artifactType === type);
  return {
    content: formatReferrers(wanted),
    next: undefined,
    filters: type === undefined ? undefined : 'artifactType',
  };
}

/** The query with which a list goes on. A link that leads anywhere else than to the same list is none. */
function nextOf(link: string | undefined, repository: Repository, path: string): string | undefined {
  const target = /^ *<([^>]{1,4096})> *; *rel="?next"?/.exec(link ?? '')?.[1];
  const url = target === undefined ? null : URL.parse(target, `http://origin.invalid/v2/${repository}/${path}`);
  if (!url?.pathname.endsWith(`/${path}`)) return undefined;
  url.searchParams.delete('ns');
  return url.searchParams.toString() || undefined;
}
