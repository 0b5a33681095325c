import { Authorization } from './authorization.ts';
import { type Digest, parseDigest } from './digest.ts';
import { OciError } from './error.ts';
import { type RangeRequest, parseRange } from './range.ts';
import {
  type Reference,
  type Registry,
  type Repository,
  parseReference,
  parseRegistry,
  parseRepository,
} from './reference.ts';

/** Whose name told the registry: the `ns` parameter, the first path component, or neither. */
export type RequestForm = 'ns' | 'path' | 'default';

/** Who asks, as far as the request tells. */
export interface Asker {
  /** What the caller sent as its credentials; undefined when it sent none. */
  readonly authorization: Authorization | undefined;
  readonly form: RequestForm;
}

/** The repository a request is about, and who asks. */
export interface Target extends Asker {
  readonly registry: Registry;
  readonly repository: Repository;
}

/** A target, and how its client spells it: addresses told to it are spelled alike. */
export interface SpelledTarget extends Target {
  /** The name in the path. */
  readonly name: string;
}

export interface ManifestRequest extends Target {
  readonly kind: 'manifest';
  readonly reference: Reference;
  /** Media types of the client's Accept header, without parameters; empty when it sent none. */
  readonly accept: readonly string[];
  /** Digests and `*` of If-None-Match, unquoted. */
  readonly ifNoneMatch: readonly string[];
  readonly range: RangeRequest | undefined;
  /** The digest of which alone the range is wanted, else everything; undefined: of whatever it is. */
  readonly ifRange: string | undefined;
}

export interface BlobRequest extends Target {
  readonly kind: 'blob';
  readonly digest: Digest;
  readonly range: RangeRequest | undefined;
}

/** Tags, or what refers to a manifest: only the registry knows at this moment. */
export interface ListRequest extends SpelledTarget {
  readonly kind: 'list';
  /** Whose referrers; undefined: the tags. */
  readonly subject: Digest | undefined;
  /** Of the client, without `ns`. */
  readonly query: URLSearchParams;
}

/** A read of the OCI distribution API, parsed once at the door. */
export type OciRequest = { readonly kind: 'ping' } | ManifestRequest | BlobRequest | ListRequest;

/** The raw request, as Node's HTTP server has it. */
export interface RawRequest {
  readonly method?: string | undefined;
  readonly url?: string | undefined;
  readonly headers: { readonly [name: string]: string | string[] | undefined };
  /** Names and values in turn, as they came: `headers` shows one Authorization where there are several. */
  readonly rawHeaders?: readonly string[];
}

/** What decides which registry a request without `ns` means. */
export interface RegistryNames {
  readonly default: Registry;
  /** Is this first path component the name of a configured registry, though it has neither dot nor colon? */
  isListed(name: string): boolean;
}

const MAX_PATH = 1024;

const CONTENT = /^\/v2\/(?<name>.+)\/(?<kind>manifests|blobs)\/(?<reference>[^/]+)$/;
const LIST = /^\/v2\/(?<name>.+)\/(?:tags\/list|referrers\/(?<subject>[^/]+))$/;

/**
 * Parses method, path, query and the headers that matter
 * (https://github.com/opencontainers/distribution-spec/blob/main/spec.md#endpoints, and "Registry Proxying" for `ns`).
 *
 * @throws OciError UNSUPPORTED (method), ENDPOINT_UNKNOWN, AUTHORIZATION_INVALID, or what is wrong with a name
 */
export function parseRequest(raw: RawRequest, names: RegistryNames): OciRequest {
  if (raw.method !== 'GET' && raw.method !== 'HEAD') {
    throw new OciError('UNSUPPORTED', 'this method is not supported here');
  }
  const [rawPath, query = ''] = split(raw.url ?? '', '?');
  const path = decodePath(rawPath);
  if (path === '/v2' || path === '/v2/') return { kind: 'ping' };

  const endpoint = (CONTENT.exec(path) ?? LIST.exec(path))?.groups;
  if (!endpoint) throw new OciError('ENDPOINT_UNKNOWN', 'there is no such endpoint');
  const authorization = Authorization.parse(authorizationsOf(raw));
  const { name = '', kind, subject } = endpoint;
  const target = { ...parseTarget(name, query, names), authorization };
  if (kind === undefined) {
    const passed = new URLSearchParams([...new URLSearchParams(query)].filter(([key]) => key !== 'ns'));
    const whose = subject === undefined ? undefined : parseDigest(subject);
    return { kind: 'list', ...target, name, subject: whose, query: passed };
  }
  const reference = endpoint['reference'] ?? '';
  const range = parseRange(header(raw, 'range'));
  // A weak entity tag, and a date, name nothing of ours (RFC 9110 section 13.1.5).
  const ifRange = header(raw, 'if-range')
    ?.trim()
    .replace(/^"(.*)"$/, '$1');
  if (kind === 'blobs') {
    const digest = parseDigest(reference);
    return { kind: 'blob', ...target, digest, range: ifRange === undefined || ifRange === digest ? range : undefined };
  }
  return {
    kind: 'manifest',
    ...target,
    reference: parseReference(reference),
    accept: list(header(raw, 'accept'))
      .map((entry) => split(entry, ';')[0].trim().toLowerCase())
      .filter((mediaType) => mediaType !== ''),
    ifNoneMatch: list(header(raw, 'if-none-match')).map((entry) => entry.replace(/^(?:W\/)?"(.*)"$/, '$1')),
    range,
    ifRange,
  };
}

/** The registry and repository that a name within a path means. @throws OciError NAME_INVALID */
export function parseTarget(name: string, query: string, names: RegistryNames): Omit<Target, 'authorization'> {
  const ns = new URLSearchParams(query).getAll('ns');
  if (ns.length > 1) throw new OciError('NAME_INVALID', 'ns may be given once');
  if (ns[0] !== undefined) {
    const registry = parseRegistry(ns[0]);
    return { registry, repository: parseRepository(name, registry), form: 'ns' };
  }
  const [first, rest] = split(name, '/');
  if (rest !== undefined && (first.includes('.') || first.includes(':') || names.isListed(first))) {
    const registry = parseRegistry(first);
    return { registry, repository: parseRepository(rest, registry), form: 'path' };
  }
  return { registry: names.default, repository: parseRepository(name, names.default), form: 'default' };
}

/** The path and query of an address below a repository, spelled as its client spells it: what `parseTarget` undoes. */
export function spell(
  { name, form, registry }: Pick<SpelledTarget, 'name' | 'form' | 'registry'>,
  path: string,
  query = new URLSearchParams(),
): string {
  const all = new URLSearchParams([...query, ...(form === 'ns' ? [['ns', registry]] : [])]);
  return `/v2/${name}/${path}${all.size > 0 ? `?${all.toString()}` : ''}`;
}

/** Decodes once. What still could mean two things to two programs (encoded slashes, dots, controls) is refused. */
export function decodePath(path: string): string {
  if (path.length > MAX_PATH) throw new OciError('NAME_INVALID', 'the path is too long');
  if (/%(?:2f|5c|2e|25|[01])/i.test(path)) throw new OciError('NAME_INVALID', 'the path has encoded separators');
  try {
    return decodeURIComponent(path);
  } catch (cause) {
    throw new OciError('NAME_INVALID', 'the path is not valid percent-encoding', { cause });
  }
}

/** At the first separator only; the second part is undefined without one. */
export function split(text: string, separator: string): [string, string | undefined] {
  const at = text.indexOf(separator);
  return at < 0 ? [text, undefined] : [text.slice(0, at), text.slice(at + 1)];
}

/** All Authorization headers of a request. */
export function authorizationsOf({ headers, rawHeaders }: RawRequest): string[] {
  const name = 'authorization';
  if (!rawHeaders) return [headers[name] ?? []].flat();
  return rawHeaders.filter((_, at) => at % 2 === 1 && rawHeaders[at - 1]?.toLowerCase() === name);
}

/** A header's lines as one. */
export function header(raw: RawRequest, name: string): string | undefined {
  const value = raw.headers[name];
  return Array.isArray(value) ? value.join(',') : value;
}

function list(value: string | undefined): string[] {
  return (value ?? '')
    .split(',')
    .map((entry) => entry.trim())
    .filter((entry) => entry !== '');
}
