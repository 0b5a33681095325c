import { gunzipSync } from 'node:zlib';
import { MANIFEST_MEDIA_TYPES, MAX_MANIFEST_BYTES, isManifestMediaType } from '../../oci/descriptor.ts';
import { type Digest, algorithmOf, digestOf, isDigest } from '../../oci/digest.ts';
import { OciError } from '../../oci/error.ts';
import { type ByteRange, parseContentRange } from '../../oci/range.ts';
import { type Reference, type Repository, formatReference } from '../../oci/reference.ts';
import { ANONYMOUS, type Credential } from './credential.ts';
import type { OriginAnswer, OriginHttp } from './origin-http.ts';
import { type OriginResponse, discard, readBody } from './response.ts';

/** A yes of the origin: how long the credentials that it was given to have been, and can be, good; in ms since 1970. */
export type Yes = Pick<OriginAnswer, 'sinceMs' | 'untilMs'>;

/** What a HEAD of a manifest told. Some registries tell no digest: then only a GET can. */
export interface ManifestHead {
  readonly mediaType: string;
  readonly digest: Digest | undefined;
  readonly sizeBytes: number | undefined;
}

/** A blob's bytes on their way, from `start` on. */
export interface BlobBody {
  /** 0 when the origin ignored the range. */
  readonly start: number;
  readonly sizeBytes: number;
  /** Did the origin answer with the range that was asked for? */
  readonly isRange: boolean;
  readonly pieces: AsyncIterable<Uint8Array>;
  /** Ends the transfer; needed when the pieces are not read to their end. */
  cancel(): void;
}

/** Who asks, and how. */
export interface Options {
  readonly signal: AbortSignal;
  /** Anonymous unless given. */
  readonly credential?: Credential;
  /** See `Unsigned`; any age unless given. */
  readonly maxAgeMs?: number;
  /** See `OriginRequest`. */
  readonly patienceMs?: number | undefined;
  /** Of a GET only the answer is of interest. */
  readonly isQuestion?: boolean;
  /** A blob's size as a manifest has it, for when the origin tells none. */
  readonly sizeIfUntold?: (() => Promise<number | undefined>) | undefined;
}

export interface ManifestOptions extends Options {
  readonly accept: readonly string[];
}

const DEFAULTS = { credential: ANONYMOUS, maxAgeMs: Infinity };

/** The reads of the distribution API at one registry, as far as circ needs them. All errors are OciErrors. */
export class RegistryClient {
  readonly #http: OriginHttp;

  constructor(http: OriginHttp) {
    this.#http = http;
  }

  /** @throws OciError MANIFEST_UNKNOWN, UNAUTHORIZED (no), UNAVAILABLE (neither yes nor no); see `OriginHttp.request` */
  async headManifest(
    repository: Repository,
    reference: Reference,
    options: ManifestOptions,
  ): Promise<ManifestHead & Yes> {
    const { response, sinceMs, untilMs } = await this.#manifest('HEAD', repository, reference, options);
    await discard(response);
    const digest = header(response, 'docker-content-digest');
    const head = {
      mediaType: mediaTypeOf(response),
      digest: digest !== undefined && isDigest(digest) ? digest : undefined,
      sizeBytes: lengthOf(response),
    };
    // A login page or a captive portal answers 200 as well.
    const isAnswer =
      head.mediaType !== 'text/html' && (head.digest !== undefined || isManifestMediaType(head.mediaType));
    const isRight = reference.kind === 'tag' || head.digest === undefined || head.digest === reference.digest;
    if (!isAnswer || !isRight) throw new OciError('UNAVAILABLE', 'the origin gave no usable answer');
    return { ...head, sinceMs, untilMs };
  }

  /** All bytes, hashed; by digest they are the right ones. @throws as `headManifest`, and CORRUPT */
  async getManifest(
    repository: Repository,
    reference: Reference,
    options: ManifestOptions,
  ): Promise<{ mediaType: string; digest: Digest; content: Buffer }> {
    const { response } = await this.#manifest('GET', repository, reference, options);
    const mediaType = mediaTypeOf(response);
    if (mediaType === 'text/html') {
      await discard(response);
      throw new OciError('UNAVAILABLE', 'the origin gave no usable answer');
    }
    const content = decode(response, await readBody(response, MAX_MANIFEST_BYTES));
    if (reference.kind === 'tag') return { mediaType, digest: digestOf(content), content };
    if (digestOf(content, algorithmOf(reference.digest)) !== reference.digest) {
      throw new OciError('CORRUPT', 'the origin sent other bytes than the digest says');
    }
    return { mediaType, digest: reference.digest, content };
  }

  /**
   * May the blob be read, and how large is it? A registry that redirects or refuses HEAD is asked for the first byte.
   *
   * @throws OciError BLOB_UNKNOWN, UNAUTHORIZED, UNAVAILABLE; see `OriginHttp.request`
   */
  async headBlob(repository: Repository, digest: Digest, options: Options): Promise<{ sizeBytes: number } & Yes> {
    try {
      const { response, sinceMs, untilMs } = await this.#blob('HEAD', repository, digest, {}, options);
      await discard(response);
      const sizeBytes = lengthOf(response);
      if (sizeBytes !== undefined && mediaTypeOf(response) !== 'text/html') return { sizeBytes, sinceMs, untilMs };
    } catch (error) {
      if (!OciError.from(error).denied) throw error;
    }
    return await this.touchBlob(repository, digest, options);
  }

  /** The same by GET of the first byte. @throws as `headBlob` */
  async touchBlob(repository: Repository, digest: Digest, options: Options): Promise<{ sizeBytes: number } & Yes> {
    const body = await this.getBlobFrom(repository, digest, { start: 0, end: 1 }, { ...options, isQuestion: true });
    body.cancel();
    const { sizeBytes, sinceMs, untilMs } = body;
    return { sizeBytes, sinceMs, untilMs };
  }

  /** As `getBlob`; empty content, of which no range can be satisfied, is read whole. */
  async getBlobFrom(
    repository: Repository,
    digest: Digest,
    range: ByteRange,
    options: Options,
  ): Promise<BlobBody & Yes> {
    try {
      return await this.getBlob(repository, digest, range, options);
    } catch (error) {
      if (OciError.from(error).code !== 'RANGE_INVALID') throw error;
      return await this.getBlob(repository, digest, undefined, options);
    }
  }

  /**
   * Begins to read a blob, or the range of it if the origin can.
   *
   * Harbor's proxy cache tells no length of what it has not got itself, and gives all of it.
   *
   * @throws OciError BLOB_UNKNOWN; RANGE_INVALID; UNAVAILABLE also for answers that cannot be a blob: HTML, a length that
   *   nobody tells, an encoding that was not asked for
   */
  async getBlob(
    repository: Repository,
    digest: Digest,
    range: ByteRange | undefined,
    options: Options,
  ): Promise<BlobBody & Yes> {
    const wanted: Record<string, string> = range ? { range: `bytes=${range.start}-${range.end - 1}` } : {};
    const { response, sinceMs, untilMs } = await this.#blob('GET', repository, digest, wanted, options);
    const cancel = (): void => {
      response.body.on('error', () => undefined); // destroying it before its end is reported there
      response.body.destroy();
    };
    const part = response.statusCode === 206 ? parseContentRange(header(response, 'content-range')) : undefined;
    const isEncoded = (header(response, 'content-encoding') ?? 'identity') !== 'identity';
    const isRight = response.statusCode === 200 || (part !== undefined && part.start === range?.start);
    const isBlob = isRight && !isEncoded && mediaTypeOf(response) !== 'text/html';
    const toldBytes = response.statusCode === 206 ? part?.sizeBytes : lengthOf(response);
    const sizeBytes = isBlob ? (toldBytes ?? (await options.sizeIfUntold?.().catch(() => undefined))) : undefined;
    if (sizeBytes === undefined) {
      cancel();
      throw new OciError('UNAVAILABLE', 'the origin gave no usable answer');
    }
    const isRange = part !== undefined;
    return { start: part?.start ?? 0, sizeBytes, isRange, pieces: response.body, cancel, sinceMs, untilMs };
  }

  /**
   * A list, as the registry gives it: `tags/list` or `referrers/<digest>`, with its query.
   *
   * @throws OciError NAME_UNKNOWN when there is none, or no such endpoint; UNAUTHORIZED, UNAVAILABLE
   */
  async getList(
    repository: Repository,
    path: string,
    { accept, ...options }: ManifestOptions,
  ): Promise<{ mediaType: string; content: Buffer; link: string | undefined; filters: string | undefined }> {
    const { response } = await this.#http.request({
      ...DEFAULTS,
      ...options,
      method: 'GET',
      kind: 'list',
      isQuestion: true,
      repository,
      path,
      headers: { accept: accept.join(', ') },
    });
    const content = decode(response, await readBody(response, MAX_MANIFEST_BYTES));
    const filters = header(response, 'oci-filters-applied');
    return { mediaType: mediaTypeOf(response), content, link: header(response, 'link'), filters };
  }

  async #manifest(
    method: 'GET' | 'HEAD',
    repository: Repository,
    reference: Reference,
    { accept, ...options }: ManifestOptions,
  ): Promise<OriginAnswer> {
    // Who accepts anything (curl, or no header at all) gets what a registry gives only to who names the types.
    const isAnything = accept.length === 0 || accept.includes('*/*') || accept.includes('application/*');
    const types = isAnything ? MANIFEST_MEDIA_TYPES : accept;
    return await this.#http.request({
      ...DEFAULTS,
      ...options,
      method,
      kind: 'manifest',
      isQuestion: true,
      repository,
      path: `manifests/${formatReference(reference)}`,
      headers: { accept: types.join(', ') },
    });
  }

  async #blob(
    method: 'GET' | 'HEAD',
    repository: Repository,
    digest: Digest,
    headers: Record<string, string>,
    options: Options,
  ): Promise<OriginAnswer> {
    return await this.#http.request({
      ...DEFAULTS,
      isQuestion: method === 'HEAD',
      ...options,
      method,
      kind: 'blob',
      repository,
      path: `blobs/${digest}`,
      headers,
    });
  }
}

function header({ headers }: OriginResponse, name: string): string | undefined {
  const value = headers[name];
  return typeof value === 'string' ? value : undefined;
}

function mediaTypeOf(response: OriginResponse): string {
  return (header(response, 'content-type') ?? '').split(';', 1).join().trim().toLowerCase();
}

function lengthOf(response: OriginResponse): number | undefined {
  const value = header(response, 'content-length');
  return value !== undefined && /^\d{1,15}$/.test(value) ? Number(value) : undefined;
}

/** registry.access.redhat.com compresses manifests though it is asked not to; the digest is of the plain bytes. */
function decode(response: OriginResponse, content: Buffer): Buffer {
  const encoding = header(response, 'content-encoding') ?? 'identity';
  if (encoding === 'identity') return content;
  if (encoding !== 'gzip') throw new OciError('UNAVAILABLE', 'the origin gave no usable answer');
  try {
    return gunzipSync(content, { maxOutputLength: MAX_MANIFEST_BYTES });
  } catch (cause) {
    throw new OciError('UNAVAILABLE', 'the origin gave no usable answer', { cause });
  }
}
