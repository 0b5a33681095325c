import type { RequestKind } from './origin-log.ts';

/** What a path of the distribution API names. */
export interface Target {
  readonly kind: RequestKind;
  readonly repository?: string;
  /** Tag or digest. */
  readonly reference?: string;
}

const CONTENT = /^\/v2\/(?<repository>.+)\/(?<kind>manifests|blobs|referrers)\/(?<reference>[^/]+)$/;
const UPLOADS = /^\/v2\/(?<repository>.+)\/blobs\/uploads\/(?<reference>[^/]*)$/;
const TAGS = /^\/v2\/(?<repository>.+)\/tags\/list$/;
const KINDS: Record<string, RequestKind> = { manifests: 'manifest', blobs: 'blob', referrers: 'referrers' };

/**
 * Reads a path as a registry does that trusts its clients (names are looked up, never used as paths).
 * @see https://github.com/opencontainers/distribution-spec/blob/main/spec.md#endpoints
 */
export function targetOf(path: string, tokenPath = '/token'): Target {
  if (path === '/v2/' || path === '/v2') return { kind: 'base' };
  if (path === tokenPath) return { kind: 'token' };
  const upload = UPLOADS.exec(path)?.groups;
  if (upload) return { kind: 'upload', repository: upload['repository'] ?? '', reference: upload['reference'] ?? '' };
  const { repository, kind = '', reference } = CONTENT.exec(path)?.groups ?? {};
  if (repository !== undefined && reference !== undefined) {
    return { kind: KINDS[kind] ?? 'other', repository, reference: reference.replaceAll(/%3a/gi, ':') };
  }
  const tagged = TAGS.exec(path)?.groups?.['repository'];
  return tagged === undefined ? { kind: 'other' } : { kind: 'tags', repository: tagged };
}

/** A range of bytes, `end` not included; or why there is none. */
export type RangeAnswer = { readonly start: number; readonly end: number } | 'whole' | 'unsatisfiable';

/**
 * What a Range header asks of `sizeBytes` bytes. Several ranges, and what is no byte range, are answered with the whole.
 * @see https://www.rfc-editor.org/rfc/rfc9110#section-14.2
 */
export function rangeOf(header: string | undefined, sizeBytes: number): RangeAnswer {
  const { first = '', last = '' } = /^bytes=(?<first>\d*)-(?<last>\d*)$/.exec(header ?? '')?.groups ?? {};
  if (first === '' && last === '') return 'whole';
  if (first === '') {
    const suffix = Math.min(Number(last), sizeBytes);
    return suffix === 0 ? 'unsatisfiable' : { start: sizeBytes - suffix, end: sizeBytes };
  }
  const start = Number(first);
  if (last !== '' && Number(last) < start) return 'unsatisfiable';
  if (start >= sizeBytes) return 'unsatisfiable';
  return { start, end: last === '' ? sizeBytes : Math.min(Number(last) + 1, sizeBytes) };
}
