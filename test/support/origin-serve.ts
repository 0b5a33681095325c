import { bytesBlob } from './blobs.ts';
import { MEDIA_TYPES, type OriginContent, type StoredManifest } from './origin-content.ts';
import type { Moods } from './origin-moods.ts';
import { sendContent, sendError, sendText } from './origin-send.ts';
import type { Exchange } from './origin-server.ts';

/** Answers an admitted request with what the registry holds, in the moods that concern content. */
export async function serve(exchange: Exchange, content: OriginContent, mood: Moods): Promise<void> {
  const { request, record } = exchange;
  if (request.method !== 'GET' && request.method !== 'HEAD') return sendError(exchange, 405, 'UNSUPPORTED');
  switch (record.kind) {
    case 'base':
      return sendText(exchange, 200, { 'content-type': 'application/json' }, '{}');
    case 'manifest':
      return serveManifest(exchange, content, mood);
    case 'blob':
      return serveBlob(exchange, content, mood);
    case 'tags':
      return serveTags(exchange, content, mood);
    case 'referrers':
      return serveReferrers(exchange, content, mood);
    case 'upload':
    case 'token':
    case 'other':
      return sendError(exchange, 404, 'UNSUPPORTED');
  }
}

async function serveManifest(exchange: Exchange, content: OriginContent, mood: Moods): Promise<void> {
  const { request, record } = exchange;
  const manifest = content.manifest(record.repository ?? '', record.reference ?? '');
  if (manifest === undefined) return sendError(exchange, 404, 'MANIFEST_UNKNOWN');
  const { bytes, mediaType, digest } = manifest;
  if (mood.strictAccept === true && !accepts(request.headers.accept, mediaType)) {
    return sendError(exchange, 404, 'MANIFEST_UNKNOWN');
  }
  const etag = `"${digest}"`;
  if (request.headers['if-none-match'] === etag) {
    return sendText(exchange, 304, { etag, 'docker-content-digest': digest }, '');
  }
  await sendContent(exchange, { bytes: bytesBlob(bytes), mediaType, digest, ranges: false, headers: { etag } }, mood);
}

async function serveBlob(exchange: Exchange, content: OriginContent, mood: Moods): Promise<void> {
  const { repository = '', reference: digest = '' } = exchange.record;
  const bytes = content.repository(repository)?.blobs.get(digest);
  if (bytes === undefined) return sendError(exchange, 404, 'BLOB_UNKNOWN');
  await sendContent(exchange, { bytes, mediaType: 'application/octet-stream', digest, ranges: true }, mood);
}

/** @see https://github.com/opencontainers/distribution-spec/blob/main/spec.md#listing-tags */
async function serveTags(exchange: Exchange, content: OriginContent, mood: Moods): Promise<void> {
  const { repository: name = '', query } = exchange.record;
  const repository = content.repository(name);
  if (repository === undefined) return sendError(exchange, 404, 'NAME_UNKNOWN');
  const last = query.get('last') ?? '';
  const limit = Number(query.get('n') ?? Infinity);
  const rest = [...repository.tags.keys()].filter((tag) => tag > last).toSorted();
  const tags = rest.slice(0, limit);
  const next = `</v2/${name}/tags/list?n=${limit}&last=${tags.at(-1) ?? ''}>; rel="next"`;
  await sendList(exchange, { name, tags }, 'application/json', tags.length < rest.length ? { link: next } : {}, mood);
}

/** @see https://github.com/opencontainers/distribution-spec/blob/main/spec.md#listing-referrers */
async function serveReferrers(exchange: Exchange, content: OriginContent, mood: Moods): Promise<void> {
  const { repository = '', reference, query } = exchange.record;
  const type = query.get('artifactType');
  const manifests = [...(content.repository(repository)?.manifests.values() ?? [])]
    .filter(({ json }) => json.subject?.digest === reference)
    .map((manifest) => referrerOf(manifest))
    .filter(({ artifactType }) => type === null || artifactType === type);
  const index = { schemaVersion: 2, mediaType: MEDIA_TYPES.oci.index, manifests };
  const headers: Record<string, string> = type === null ? {} : { 'oci-filters-applied': 'artifactType' };
  await sendList(exchange, index, MEDIA_TYPES.oci.index, headers, mood);
}

function referrerOf({ mediaType, digest, bytes, json }: StoredManifest) {
  const { annotations, config } = json;
  const artifactType = json.artifactType ?? config?.mediaType;
  return { mediaType, digest, size: bytes.byteLength, artifactType, ...(annotations && { annotations }) };
}

async function sendList(
  exchange: Exchange,
  list: object,
  mediaType: string,
  headers: Record<string, string>,
  mood: Moods,
): Promise<void> {
  const bytes = bytesBlob(Buffer.from(JSON.stringify(list)));
  await sendContent(exchange, { bytes, mediaType, ranges: false, headers }, mood);
}

function accepts(accept: string | undefined, mediaType: string): boolean {
  const types = new Set((accept ?? '').split(',').map((type) => type.split(';')[0]?.trim()));
  return types.has(mediaType) || types.has('*/*');
}
