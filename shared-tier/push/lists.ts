import { MANIFEST_MEDIA_TYPES } from '../../oci/descriptor.ts';
import { type Digest, algorithmOf, hexOf } from '../../oci/digest.ts';
import { OciError } from '../../oci/error.ts';
import type { ListRequest } from '../../oci/push-request.ts';
import type { Credential } from '../origin/credential.ts';
import type { OriginClient } from '../origin/origin-clients.ts';
import type { Addresses } from './addresses.ts';
import type { PushAnswer } from './answer.ts';

const INDEX = 'application/vnd.oci.image.index.v1+json';
const LIST_MS = 20_000;

/** Lists are asked for at the origin each time, with the caller's own credentials; nothing of them is kept. */
export async function list(
  request: ListRequest,
  { client, credential }: { client: OriginClient; credential: Credential },
  addresses: Addresses,
): Promise<PushAnswer> {
  const { repository, subject, query } = request;
  const path = subject === undefined ? 'tags/list' : `referrers/${subject}`;
  const options = { credential, signal: AbortSignal.timeout(LIST_MS) };
  const asked = `${path}${query.size > 0 ? `?${query.toString()}` : ''}`;
  try {
    const accept = [subject === undefined ? 'application/json' : INDEX];
    const { mediaType, content, link, filters } = await client.registry.getList(repository, asked, {
      accept,
      ...options,
    });
    if (subject !== undefined && mediaType !== INDEX) throw new OciError('NAME_UNKNOWN', 'no list of referrers');
    const headers = {
      'content-type': subject === undefined ? 'application/json' : INDEX,
      link: ours(link, request, path, addresses),
      'oci-filters-applied': filters,
    };
    return { status: 200, headers, body: content };
  } catch (reason) {
    const error = OciError.from(reason);
    const isMissing = error.code === 'NAME_UNKNOWN' && !error.denied;
    if (subject === undefined || !isMissing) throw error;
    return await byTag(subject, request, client, options);
  }
}

/**
 * Registries without the referrers API have a tag instead, which clients keep.
 * https://github.com/opencontainers/distribution-spec/blob/main/spec.md#referrers-tag-schema
 */
async function byTag(
  subject: Digest,
  { repository, query }: ListRequest,
  client: OriginClient,
  options: { credential: Credential; signal: AbortSignal },
): Promise<PushAnswer> {
  const reference = { kind: 'tag', tag: `${algorithmOf(subject)}-${hexOf(subject).slice(0, 64)}` } as const;
  const type = query.get('artifactType') ?? undefined;
  let manifests: unknown[] = [];
  try {
    const { content, mediaType } = await client.registry.getManifest(repository, reference, {
      accept: MANIFEST_MEDIA_TYPES,
      ...options,
    });
    if (mediaType === INDEX) manifests = manifestsIn(content);
  } catch (reason) {
    const error = OciError.from(reason);
    if (error.code !== 'MANIFEST_UNKNOWN' || error.denied) throw error;
  }
  const wanted = manifests.filter((each) => type === undefined || artifactTypeOf(each) === type);
  const body = Buffer.from(JSON.stringify({ schemaVersion: 2, mediaType: INDEX, manifests: wanted }));
  const headers = { 'content-type': INDEX, 'oci-filters-applied': type === undefined ? undefined : 'artifactType' };
  return { status: 200, headers, body };
}

function manifestsIn(content: Buffer): unknown[] {
  try {
    const { manifests } = JSON.parse(content.toString()) as { manifests?: unknown };
    return Array.isArray(manifests) ? manifests : [];
  } catch {
    return []; // a tag that is no list of referrers
  }
}

function artifactTypeOf(descriptor: unknown): unknown {
  return (descriptor as { artifactType?: unknown } | null)?.artifactType;
}

/** Where a list goes on, at our own address. A link that leads anywhere else is not passed on. */
function ours(link: string | undefined, request: ListRequest, path: string, addresses: Addresses): string | undefined {
  const target = /^ *<([^>]{1,4096})> *; *rel="?next"?/.exec(link ?? '')?.[1];
  const url = target === undefined ? null : URL.parse(target, `http://origin.invalid/v2/${request.repository}/${path}`);
  if (!url?.pathname.endsWith(`/${path}`)) return undefined;
  url.searchParams.delete('ns');
  return `<${addresses.list(request, path, url.searchParams)}>; rel="next"`;
}
