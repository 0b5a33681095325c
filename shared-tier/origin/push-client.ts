import { type Algorithm, type Digest, isDigest } from '../../oci/digest.ts';
import { OciError } from '../../oci/error.ts';
import { type Reference, type Repository, formatReference } from '../../oci/reference.ts';
import type { PushHttp, Pusher } from './push-http.ts';
import { type OriginResponse, discard } from './response.ts';

/** An upload as its origin knows it. */
export interface OriginUpload {
  /** Where it goes on. */
  readonly location: URL;
  /** What the origin has of it, in bytes; undefined when it did not say. */
  readonly offset: number | undefined;
  /** Shortest part that it takes but for the last one, as it said. */
  readonly minPartBytes?: string | undefined;
}

export interface StartOptions {
  readonly mount: { readonly digest: Digest; readonly from: Repository | undefined } | undefined;
  readonly algorithm: Algorithm | undefined;
}

/** One part of a blob on its way. */
export interface Part {
  readonly body: AsyncIterable<Uint8Array>;
  readonly lengthBytes: number | undefined;
  /** Where it begins, if the origin is to check that; then its length is known. */
  readonly start: number | undefined;
  /** See `StreamedQuestion`, as for `mayGiveWay`. */
  readonly isRepeated: boolean;
  readonly mayGiveWay: boolean;
}

/** What an origin says to a manifest that it has taken. */
export interface PutManifest {
  readonly digest: Digest | undefined;
  /** `OCI-Subject` and `OCI-Tag`, as they came. */
  readonly subject: string | undefined;
  readonly tags: string | undefined;
}

/** Addresses of uploads carry the state of object stores, and end in our own addresses. */
const MAX_LOCATION = 6_000;
const OCTETS = { 'content-type': 'application/octet-stream' };

/** The changes of the distribution API at one registry. All errors are OciErrors, or, of bodies, `RetryLater`. */
export class PushClient {
  readonly #http: PushHttp;

  constructor(http: PushHttp) {
    this.#http = http;
  }

  /** @returns undefined when the blob was mounted, and needs no upload. @throws see `PushHttp.ask` */
  async start({ mount, algorithm }: StartOptions, pusher: Pusher): Promise<OriginUpload | undefined> {
    const url = this.#http.url(`${pusher.repository}/blobs/uploads/`);
    if (mount) url.searchParams.set('mount', mount.digest);
    if (mount?.from !== undefined) url.searchParams.set('from', mount.from);
    if (algorithm !== undefined) url.searchParams.set('digest-algorithm', algorithm);
    const { response, url: asked } = await this.#http.ask({ ...pusher, method: 'POST', url });
    await discard(response);
    if (response.statusCode === 201) return undefined;
    return { ...uploadOf(response, asked, undefined), minPartBytes: header(response, 'oci-chunk-min-length') };
  }

  /** What the origin has of an upload. @param hint what it should have. @throws see `PushHttp.ask` */
  async status(url: URL, hint: number, pusher: Pusher): Promise<OriginUpload> {
    const { response, url: asked } = await this.#http.ask({ ...pusher, method: 'GET', url });
    await discard(response);
    return uploadOf(response, asked, hint, url);
  }

  async cancel(url: URL, pusher: Pusher): Promise<void> {
    await discard((await this.#http.ask({ ...pusher, method: 'DELETE', url })).response);
  }

  /** @param hint what the origin should have afterwards. @throws see `PushHttp.stream` */
  async append(url: URL, part: Part, hint: () => number, pusher: Pusher): Promise<OriginUpload> {
    const response = await this.#http.stream({ ...pusher, ...part, method: 'PATCH', url, headers: headersOf(part) });
    await discard(response);
    return uploadOf(response, url, hint());
  }

  /** Ends an upload with its last part. @throws see `PushHttp.stream` */
  async finishWith(url: URL, digest: Digest, part: Part, pusher: Pusher): Promise<void> {
    const whole = {
      ...pusher,
      ...part,
      method: 'PUT' as const,
      url: withDigest(url, digest),
      headers: headersOf(part),
    };
    await taken(await this.#http.stream(whole));
  }

  /** Ends an upload of which the origin has everything. @throws see `PushHttp.ask` */
  async finish(url: URL, digest: Digest, pusher: Pusher): Promise<void> {
    const question = { ...pusher, method: 'PUT' as const, url: withDigest(url, digest), headers: OCTETS };
    await taken((await this.#http.ask(question)).response);
  }

  async putManifest(
    reference: Reference,
    { content, mediaType, tags }: { content: Uint8Array; mediaType: string | undefined; tags: readonly string[] },
    pusher: Pusher,
  ): Promise<PutManifest> {
    const url = this.#http.url(`${pusher.repository}/manifests/${formatReference(reference)}`);
    for (const tag of tags) url.searchParams.append('tag', tag);
    const headers: Record<string, string> = mediaType === undefined ? {} : { 'content-type': mediaType };
    const { response } = await this.#http.ask({ ...pusher, method: 'PUT', url, headers, body: content });
    await taken(response);
    return { digest: digestOf(response), subject: header(response, 'oci-subject'), tags: header(response, 'oci-tag') };
  }

  async delete(what: 'manifests' | 'blobs', reference: Reference, pusher: Pusher): Promise<void> {
    const url = this.#http.url(`${pusher.repository}/${what}/${formatReference(reference)}`);
    await discard((await this.#http.ask({ ...pusher, method: 'DELETE', url })).response);
  }
}

function headersOf({ start, lengthBytes }: Part): Record<string, string> {
  if (start === undefined || lengthBytes === undefined) return OCTETS;
  return { ...OCTETS, 'content-range': `${start}-${start + lengthBytes - 1}` };
}

/**
 * What says that it is there: 201, or, of registries that have another word for it, the digest of
 * what was made. Filters on the way answer 200 with a page of their own. @throws OciError UNAVAILABLE
 */
async function taken(response: OriginResponse): Promise<void> {
  await discard(response);
  if (response.statusCode !== 201 && digestOf(response) === undefined)
    throw new OciError('UNAVAILABLE', 'the origin gave no usable answer');
}

/** Not by `searchParams`: that would spell the other parameters anew, and some of them are signed. */
function withDigest(url: URL, digest: Digest): URL {
  const made = new URL(url);
  made.search = `${url.search}${url.search === '' ? '?' : '&'}digest=${encodeURIComponent(digest)}`;
  return made;
}

/** @param otherwise where it goes on when the answer does not say it. @throws OciError UNAVAILABLE */
function uploadOf(response: OriginResponse, asked: URL, hint: number | undefined, otherwise?: URL): OriginUpload {
  const text = header(response, 'location');
  const location = text === undefined ? otherwise : (URL.parse(text, asked.href) ?? undefined);
  if (!location || location.href.length > MAX_LOCATION) {
    throw new OciError('UNAVAILABLE', 'the origin gave no usable answer');
  }
  const last = /^(?:bytes=)?0-(\d{1,15})$/.exec(header(response, 'range') ?? '')?.[1];
  return { location, offset: last === undefined ? undefined : offsetOf(Number(last), hint) };
}

/** `0-0` is what registries say of one byte, and of none. */
function offsetOf(last: number, hint: number | undefined): number {
  return last === 0 && hint !== 1 ? 0 : last + 1;
}

function digestOf(response: OriginResponse): Digest | undefined {
  const text = header(response, 'docker-content-digest') ?? '';
  return isDigest(text) ? text : undefined;
}

function header({ headers }: OriginResponse, name: string): string | undefined {
  const value = headers[name];
  return Array.isArray(value) ? value.join(', ') : value;
}
