import { Authorization } from './authorization.ts';
import { type Algorithm, type Digest, parseDigest } from './digest.ts';
import { OciError } from './error.ts';
import { type Reference, type Registry, type Repository, parseReference } from './reference.ts';
import {
  type RawRequest,
  type RegistryNames,
  type SpelledTarget,
  type Target,
  authorizationsOf,
  decodePath,
  header,
  parseTarget,
  split,
} from './request.ts';

/** A body as its headers announce it. */
export interface Body {
  /** Undefined: nobody knows before its end (chunked transfer). */
  readonly lengthBytes: number | undefined;
}

/** `POST …/blobs/uploads/`. */
export interface UploadStart extends SpelledTarget, Body {
  readonly kind: 'upload-start';
  /** The whole blob comes along with this request. */
  readonly digest: Digest | undefined;
  readonly mount: { readonly digest: Digest; readonly from: Repository | undefined } | undefined;
  readonly algorithm: Algorithm | undefined;
}

/** A request about an upload that has begun. What it is for is said by the state that its address carries. */
export interface UploadRequest extends Body {
  readonly kind: 'upload';
  readonly name: string;
  readonly authorization: Authorization | undefined;
  readonly action: 'append' | 'finish' | 'status' | 'cancel';
  /** Sealed: see shared-tier/push/upload-state.ts. */
  readonly state: string;
  /** Position of the first byte of this part within the blob, and the one behind its last. */
  readonly range: { readonly start: number; readonly end: number } | undefined;
  /** Only, and always, of `finish`. */
  readonly digest: Digest | undefined;
}

/** `PUT …/manifests/<reference>`. */
export interface ManifestPut extends SpelledTarget, Body {
  readonly kind: 'manifest-put';
  readonly reference: Reference;
  /** Content-Type without parameters; undefined when the client sent none. */
  readonly mediaType: string | undefined;
  /** Further tags for a manifest that is pushed by digest. */
  readonly tags: readonly string[];
}

/** `DELETE` of a manifest, a tag, or a blob. */
export interface Deletion extends SpelledTarget {
  readonly kind: 'delete';
  readonly what: 'manifests' | 'blobs';
  readonly reference: Reference;
}

/** What the shared tier takes besides the reads of `OciRequest`. */
export type PushRequest = UploadStart | UploadRequest | ManifestPut | Deletion;

const NAME = '^/v2/(?<name>.+)';
const UPLOADS = new RegExp(`${NAME}/blobs/uploads/?$`);
const UPLOAD = new RegExp(`${NAME}/blobs/uploads/(?<id>[^/]+)$`);
const CONTENT = new RegExp(`${NAME}/(?<what>manifests|blobs)/(?<reference>[^/]+)$`);

/** Where the state of an upload is in its address. */
export const STATE_PARAMETER = '_state';

/** Tags of one manifest put; the specification asks for ten at least. */
const MAX_TAGS = 32;

/**
 * Parses what changes a repository
 * (https://github.com/opencontainers/distribution-spec/blob/main/spec.md#endpoints).
 *
 * @returns undefined for everything else
 * @throws OciError what is wrong with it
 */
export function parsePushRequest(raw: RawRequest, names: RegistryNames): PushRequest | undefined {
  const { method } = raw;
  const [rawPath, rawQuery = ''] = split(raw.url ?? '', '?');
  const path = decodePath(rawPath);
  const query = new URLSearchParams(rawQuery);
  const target = (name: string): SpelledTarget => ({
    ...parseTarget(name, rawQuery, names),
    authorization: Authorization.parse(authorizationsOf(raw)),
    name,
  });
  const body = { lengthBytes: lengthOf(raw) };

  const uploads = UPLOADS.exec(path)?.groups;
  if (uploads && method === 'POST') {
    const { name = '' } = uploads;
    return { kind: 'upload-start', ...target(name), ...body, ...parseStart(query, target(name), names) };
  }
  const upload = UPLOAD.exec(path)?.groups;
  const action = upload && ACTIONS.get(method ?? '');
  if (upload && action) {
    const digest = action === 'finish' ? parseDigest(only(query, 'digest') ?? '') : undefined;
    const authorization = Authorization.parse(authorizationsOf(raw));
    const state = only(query, STATE_PARAMETER) ?? '';
    const range = parsePart(header(raw, 'content-range'), body);
    return { kind: 'upload', name: upload['name'] ?? '', authorization, action, state, range, digest, ...body };
  }
  const { name = '', what, reference: text = '' } = CONTENT.exec(path)?.groups ?? {};
  if (what === 'manifests' && method === 'PUT') {
    const reference = parseReference(text);
    const mediaType = split(header(raw, 'content-type') ?? '', ';')[0].trim() || undefined;
    return { kind: 'manifest-put', ...target(name), ...body, reference, mediaType, tags: parseTags(query) };
  }
  if ((what === 'manifests' || what === 'blobs') && method === 'DELETE') {
    const reference =
      what === 'blobs' ? ({ kind: 'digest', digest: parseDigest(text) } as const) : parseReference(text);
    return { kind: 'delete', ...target(name), what, reference };
  }
  return undefined;
}

const ACTIONS = new Map<string, UploadRequest['action']>([
  ['PATCH', 'append'],
  ['PUT', 'finish'],
  ['GET', 'status'],
  ['DELETE', 'cancel'],
]);

function parseStart(
  query: URLSearchParams,
  { registry, form }: Target,
  names: RegistryNames,
): Pick<UploadStart, 'digest' | 'mount' | 'algorithm'> {
  const digest = only(query, 'digest');
  const mount = only(query, 'mount');
  const algorithm = only(query, 'digest-algorithm');
  if (algorithm !== undefined && algorithm !== 'sha256' && algorithm !== 'sha512') {
    throw new OciError('DIGEST_INVALID', 'digest-algorithm is sha256 or sha512');
  }
  return {
    digest: digest === undefined ? undefined : parseDigest(digest),
    mount:
      mount === undefined ? undefined : parseMount(parseDigest(mount), only(query, 'from'), { registry, form }, names),
    algorithm,
  };
}

/** A blob of another registry cannot be mounted: then it is an upload like any other. */
function parseMount(
  digest: Digest,
  from: string | undefined,
  { registry, form }: { registry: Registry; form: Target['form'] },
  names: RegistryNames,
): UploadStart['mount'] {
  if (from === undefined) return { digest, from: undefined };
  const source = parseTarget(from, form === 'ns' ? new URLSearchParams({ ns: registry }).toString() : '', names);
  return source.registry === registry ? { digest, from: source.repository } : undefined;
}

/** Content-Range as this API has it: first and last position, without a unit. */
function parsePart(text: string | undefined, { lengthBytes }: Body): UploadRequest['range'] {
  if (text === undefined) return undefined;
  const match = /^(?:bytes[ =])?(\d{1,15})-(\d{1,15})(?:\/(?:\d+|\*))?$/.exec(text);
  const range = { start: Number(match?.[1]), end: Number(match?.[2]) + 1 };
  const isRight =
    match && range.start < range.end && (lengthBytes ?? range.end - range.start) === range.end - range.start;
  if (!isRight) throw new OciError('BLOB_UPLOAD_INVALID', 'Content-Range does not fit the body');
  return range;
}

function parseTags(query: URLSearchParams): string[] {
  const tags = query.getAll('tag');
  if (tags.length > MAX_TAGS) throw new OciError('TAG_INVALID', `at most ${MAX_TAGS} tags are taken at once`);
  if (tags.some((tag) => parseReference(tag).kind !== 'tag')) throw new OciError('TAG_INVALID', 'a tag is no digest');
  return tags;
}

function lengthOf(raw: RawRequest): number | undefined {
  if (header(raw, 'transfer-encoding') !== undefined) return undefined;
  const text = header(raw, 'content-length') ?? '0';
  if (!/^\d{1,15}$/.test(text)) throw new OciError('SIZE_INVALID', 'Content-Length is a number');
  return Number(text);
}

function only(query: URLSearchParams, name: string): string | undefined {
  const [value, ...others] = query.getAll(name);
  if (others.length > 0) throw new OciError('BLOB_UPLOAD_INVALID', `${name} may be given once`);
  return value;
}
