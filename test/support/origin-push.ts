import { createHash } from 'node:crypto';
import { digestOf, isDigest, type Algorithm } from '../../oci/digest.ts';
import { bytesBlob } from './blobs.ts';
import type { OriginContent } from './origin-content.ts';
import type { Moods } from './origin-moods.ts';
import { sendError, sendText } from './origin-send.ts';
import type { Exchange } from './origin-server.ts';
import { OriginUpload, receiveBody } from './origin-uploads.ts';

/** How an origin takes pushes. */
export interface PushRules {
  /** Has the referrers API. */
  referrers: boolean;
  /** A tag that is there cannot be moved. */
  immutableTags: boolean;
  /** Blobs are mounted; if not, each mount is answered as the beginning of an upload. */
  mounts: boolean;
  /** Tells how far an upload has come. */
  status: boolean;
  /** Manifests may name only what the repository has. */
  checksLinks: boolean;
  /** Blobs above this size are refused, as by a quota. */
  maxBlobBytes: number;
  deletes: boolean;
}

/** The write side of a registry: right by the distribution specification unless a rule or a mood is set. */
export class PushSide {
  readonly rules: PushRules = {
    referrers: true,
    immutableTags: false,
    mounts: true,
    status: true,
    checksLinks: false,
    maxBlobBytes: Infinity,
    deletes: true,
  };
  readonly #content: OriginContent;
  readonly #uploads = new Map<string, OriginUpload>();

  constructor(content: OriginContent) {
    this.#content = content;
  }

  /** Uploads that have begun and not ended. */
  get open(): number {
    return this.#uploads.size;
  }

  /** Answers a request if it changes something, or belongs to a change. */
  async serve(exchange: Exchange, mood: Moods): Promise<boolean> {
    const { request, record } = exchange;
    const { method } = request;
    if (record.kind === 'referrers' && !this.rules.referrers) sendError(exchange, 404, 'UNSUPPORTED');
    else if (record.kind === 'upload' && record.reference === '' && method === 'POST')
      await this.#start(exchange, mood);
    else if (record.kind === 'upload') await this.#goOn(exchange, mood);
    else if (record.kind === 'manifest' && method === 'PUT') await this.#putManifest(exchange, mood);
    else if (method === 'DELETE') this.#delete(exchange);
    else return false;
    return true;
  }

  async #start(exchange: Exchange, mood: Moods): Promise<void> {
    const { repository = '', query } = exchange.record;
    const digest = query.get('mount') ?? '';
    const from = query.get('from');
    const mounted = from === null ? this.#content.blob(digest) : this.#content.repository(from)?.blobs.get(digest);
    if (this.rules.mounts && mounted) {
      this.#content.putBlob(repository, digest, mounted);
      return this.#created(exchange, `blobs/${digest}`, digest);
    }
    const upload = new OriginUpload(repository);
    if (query.has('digest')) return await this.#end(exchange, mood, upload, query.get('digest') ?? '');
    this.#uploads.set(upload.id, upload);
    this.#accepted(exchange, upload, mood);
  }

  async #goOn(exchange: Exchange, mood: Moods): Promise<void> {
    const { request, record } = exchange;
    const upload = this.#uploads.get(record.reference ?? '');
    if (!upload || upload.repository !== record.repository) return sendError(exchange, 404, 'BLOB_UPLOAD_UNKNOWN');
    switch (request.method ?? '') {
      case 'GET':
        if (!this.rules.status) return sendError(exchange, 405, 'UNSUPPORTED');
        return this.#accepted(exchange, upload, mood, 204);
      case 'PATCH':
        if (!isNext(exchange, upload)) return sendError(exchange, 416, 'RANGE_INVALID');
        if (await receiveBody(exchange, mood, (piece) => upload.add(piece))) this.#accepted(exchange, upload, mood);
        return;
      case 'PUT':
        if (!isNext(exchange, upload)) return sendError(exchange, 416, 'RANGE_INVALID');
        return await this.#end(exchange, mood, upload, record.query.get('digest') ?? '');
      case 'DELETE':
        this.#uploads.delete(upload.id);
        return sendText(exchange, 204, {}, '');
      default:
        return sendError(exchange, 405, 'UNSUPPORTED');
    }
  }

  async #end(exchange: Exchange, mood: Moods, upload: OriginUpload, digest: string): Promise<void> {
    const isHere = await receiveBody(exchange, mood, (piece) => upload.add(piece));
    if (!isHere) return;
    this.#uploads.delete(upload.id);
    if (!isDigest(digest)) return sendError(exchange, 400, 'DIGEST_INVALID');
    if (upload.sizeBytes > this.rules.maxBlobBytes)
      return sendError(exchange, 413, 'SIZE_INVALID', {}, 'quota exceeded');
    const { bytes } = upload;
    if (digestOf(bytes, algorithmIn(digest)) !== digest) return sendError(exchange, 400, 'DIGEST_INVALID');
    this.#content.putBlob(upload.repository, digest, bytesBlob(bytes));
    if (mood.loseAnswer === true) exchange.request.socket.resetAndDestroy();
    else this.#created(exchange, `blobs/${digest}`, digest);
  }

  async #putManifest(exchange: Exchange, mood: Moods): Promise<void> {
    const { request, record } = exchange;
    const { repository = '', reference = '' } = record;
    const pieces: Buffer[] = [];
    if (!(await receiveBody(exchange, mood, (piece) => pieces.push(piece)))) return;
    const bytes = Buffer.concat(pieces);
    const isByDigest = reference.includes(':');
    const algorithm = isByDigest ? algorithmIn(reference) : 'sha256';
    const actual = `${algorithm}:${createHash(algorithm).update(bytes).digest('hex')}`;
    if (isByDigest && reference !== actual) return sendError(exchange, 400, 'DIGEST_INVALID');
    const tags = [...(isByDigest ? [] : [reference]), ...record.query.getAll('tag')];
    if (this.rules.immutableTags && tags.some((tag) => this.#content.repository(repository)?.tags.has(tag))) {
      return sendError(exchange, 409, 'DENIED', {}, 'the tag is immutable');
    }
    const missing = this.rules.checksLinks ? this.#missing(repository, bytes) : [];
    if (missing.length > 0) return sendError(exchange, 404, 'MANIFEST_BLOB_UNKNOWN', {}, missing.join());
    const mediaType = request.headers['content-type'] ?? 'application/octet-stream';
    const [first, ...others] = tags;
    this.#content.addManifest(repository, first, bytes, mediaType, algorithm);
    for (const tag of others) this.#content.setTag(repository, tag, actual);
    const subject = this.#content.manifest(repository, actual)?.json.subject?.digest;
    if (mood.loseAnswer === true) return void request.socket.resetAndDestroy();
    this.#created(exchange, `manifests/${actual}`, actual, {
      ...(subject !== undefined && this.rules.referrers && { 'oci-subject': subject }),
      ...(record.query.has('tag') && { 'oci-tag': record.query.getAll('tag').join(', ') }),
    });
  }

  #missing(repository: string, bytes: Buffer): string[] {
    const { config, layers = [] } = JSON.parse(bytes.toString()) as {
      config?: { digest: string };
      layers?: { digest: string }[];
    };
    const { blobs } = this.#content.repository(repository) ?? {};
    const named = [...(config ? [config] : []), ...layers].map(({ digest }) => digest);
    return named.filter((digest) => blobs?.has(digest) !== true);
  }

  #delete(exchange: Exchange): void {
    const { repository = '', reference = '', kind } = exchange.record;
    if (!this.rules.deletes) return sendError(exchange, 405, 'UNSUPPORTED');
    const { blobs, manifests, tags } = this.#content.repository(repository) ?? {};
    const isTag = kind === 'manifest' && !reference.includes(':');
    const isHere = isTag ? tags?.has(reference) : (kind === 'blob' ? blobs : manifests)?.has(reference);
    if (isHere !== true) return sendError(exchange, 404, kind === 'blob' ? 'BLOB_UNKNOWN' : 'MANIFEST_UNKNOWN');
    if (isTag) this.#content.setTag(repository, reference, undefined);
    else this.#content.remove(repository, reference);
    for (const [tag, digest] of tags ?? []) if (digest === reference) tags?.delete(tag);
    sendText(exchange, 202, {}, '');
  }

  #accepted(exchange: Exchange, { id, repository, sizeBytes }: OriginUpload, mood: Moods, status = 202): void {
    const headers = {
      location: `/v2/${repository}/blobs/uploads/${id}?at=${sizeBytes}`,
      range: `0-${Math.max(0, sizeBytes - 1)}`,
      ...mood.headers,
    };
    sendText(exchange, status, headers, '');
  }

  #created(exchange: Exchange, path: string, digest: string, more: Record<string, string> = {}): void {
    const location = `/v2/${exchange.record.repository}/${path}`;
    sendText(exchange, 201, { location, 'docker-content-digest': digest, ...more }, '');
  }
}

/** A part that says where it begins has to be the next one. */
function isNext({ request }: Exchange, { sizeBytes }: OriginUpload): boolean {
  const start = /^(?<start>\d+)-\d+$/.exec(request.headers['content-range'] ?? '')?.groups?.['start'];
  return start === undefined || Number(start) === sizeBytes;
}

function algorithmIn(digest: string): Algorithm {
  return digest.startsWith('sha512:') ? 'sha512' : 'sha256';
}
