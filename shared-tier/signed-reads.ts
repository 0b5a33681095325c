import type { FastifyInstance } from 'fastify';
import { LRUCache } from 'lru-cache';
import { atMost } from '../content/at-most.ts';
import { type Digest, parseDigest } from '../oci/digest.ts';
import { OciError } from '../oci/error.ts';
import { formatContentRange, parseRange, resolveRange } from '../oci/range.ts';
import { type Registry, parseRegistry, parseRepository } from '../oci/reference.ts';
import { sendChunks } from '../service/send.ts';
import type { Images } from './images.ts';
import type { Place, ReadPlace } from './records.ts';
import type { Seal, Sealed } from './seal.ts';

/** What a signed read allows: this content of this origin, by GET, until then. */
export interface ReadClaims extends Sealed {
  readonly registry: string;
  /** Only if it is known to be in this repository. */
  readonly repository?: string;
  readonly digest: string;
  readonly method: 'GET';
}

/** What became of one signed read. */
export interface ReadReport {
  readonly bytes: number;
  readonly error: OciError | undefined;
}

export interface ReadEvents {
  /** While a read goes on: so many bytes more were handed to its connection. */
  readonly sent: (bytes: number) => void;
  readonly ended: (report: ReadReport) => void;
}

export interface SignedReadsOptions {
  readonly images: Images;
  readonly seal: Seal<ReadClaims>;
  /** `host:port` at which agents reach this replica. */
  readonly advertise: () => string;
  /** What this replica's HTTP speaks. */
  readonly scheme?: 'http' | 'https';
  /** Where else content of this registry can be read for so long, without this replica; undefined: nowhere. */
  readonly presign?: (
    place: Pick<Place, 'registry'>,
    digest: Digest,
    validForMs: number,
  ) => Promise<string | undefined>;
  readonly events: ReadEvents;
}

const PREFIX = '/circ/v1/read/';
/** Followed by the same seal as a read: has anybody begun it? 204 or 404. */
const BEGUN_PREFIX = '/circ/v1/begun/';
const BEGUN_MS = 60_000;
const MAX_BEGUN = 10_000;

/** The URL of a read at a replica, `base`, this one or another: all with the master key honour it. */
export function signedReadUrl(
  seal: Seal<ReadClaims>,
  base: string,
  content: ReadPlace & { readonly digest: Digest },
  validForMs: number,
): string {
  const { registry, repository, digest } = content;
  const place = { registry, ...(repository !== undefined && { repository }) };
  const sealed = seal.close({ ...place, digest, method: 'GET', endsAtMs: Date.now() + validForMs });
  return `${base}${PREFIX}${sealed.toString('base64url')}`;
}

/** Where it can be asked whether a signed read has begun, given the read's path. */
export function begunPath(readPath: string): string {
  return `${BEGUN_PREFIX}${readPath.slice(PREFIX.length)}`;
}

/**
 * Plain HTTP reads of what gRPC has granted. The URL is the right to read: sealed by the tier, short-lived, for one
 * content. Answers always have a length and are never chunked, so the agent can read them with little effort.
 */
export class SignedReads {
  readonly #options: SignedReadsOptions;
  /** Seals of the reads that have begun a moment ago: agents ask whether who they sent here has come. */
  readonly #begun = new LRUCache<string, true>({ ...atMost(MAX_BEGUN), ttl: BEGUN_MS });

  constructor(options: SignedReadsOptions) {
    this.#options = options;
  }

  /** @param validForMs the read must begin within it */
  url(registry: Registry, digest: Digest, validForMs: number): string {
    const { seal, advertise, scheme = 'http' } = this.#options;
    return signedReadUrl(seal, `${scheme}://${advertise()}`, { registry, digest }, validForMs);
  }

  /** Adds the routes to the tier's HTTP server. */
  register(app: FastifyInstance): void {
    app.get(`${PREFIX}*`, async (request, reply) => {
      reply.hijack();
      const response = reply.raw;
      let bytes = 0;
      let failure: OciError | undefined;
      const gone = new AbortController();
      response.once('close', () => gone.abort(new OciError('UNAVAILABLE', 'the reader hung up')));
      try {
        const sealed = sealIn(request.raw.url, PREFIX);
        const { place, digest, endsAtMs } = this.#open(sealed);
        this.#begun.set(sealed, true);
        const location = isFollower(request.raw.url)
          ? await this.#options.presign?.(place, digest, endsAtMs - Date.now())
          : undefined;
        if (location !== undefined) {
          response.writeHead(307, { location, 'content-length': 0 }).end();
          return;
        }
        await using content = await this.#options.images.read(place, digest);
        if (!content) throw new OciError('BLOB_UNKNOWN', 'the content has gone; open it again');
        const { sizeBytes } = content;
        const wanted = parseRange(request.headers.range);
        const range = wanted && resolveRange(wanted, sizeBytes);
        const { start, end } = range ?? { start: 0, end: sizeBytes };
        response.writeHead(range ? 206 : 200, {
          'content-type': 'application/octet-stream',
          'content-length': end - start,
          ...(range && { 'content-range': formatContentRange(range, sizeBytes) }),
        });
        // The headers go out at once: the reader learns that it is answered, however slow the origin is.
        response.flushHeaders();
        await sendChunks(response, content.chunks({ start, end }, gone), (sent) => {
          bytes += sent;
          this.#options.events.sent(sent);
        });
      } catch (reason) {
        failure = OciError.from(reason);
        if (!response.headersSent) {
          const body = JSON.stringify(failure.body);
          response.writeHead(failure.status, { 'content-length': Buffer.byteLength(body) }).end(body);
        }
      }
      this.#options.events.ended({ bytes, error: failure });
    });
    app.get(`${BEGUN_PREFIX}*`, async (request, reply) => {
      await reply.code(this.#begun.has(sealIn(request.raw.url, BEGUN_PREFIX)) ? 204 : 404).send();
    });
  }

  #open(sealed: string): { place: ReadPlace; digest: Digest; endsAtMs: number } {
    const claims = this.#options.seal.open(Buffer.from(sealed, 'base64url'));
    if (claims?.method !== 'GET') throw new OciError('BLOB_UNKNOWN', 'this read is not valid, or not any more');
    const { registry, repository, digest, endsAtMs } = claims;
    const of = parseRegistry(registry);
    const place = { registry: of, ...(repository !== undefined && { repository: parseRepository(repository, of) }) };
    return { place, digest: parseDigest(digest), endsAtMs };
  }
}

function sealIn(url: string | undefined, prefix: string): string {
  return (url ?? '').slice(prefix.length).split('?', 1).join();
}

/** Clients that an agent has sent here can be sent further; an agent itself cannot. */
function isFollower(url = ''): boolean {
  return url.endsWith('?follow');
}
