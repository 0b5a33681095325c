import { setTimeout as delay } from 'node:timers/promises';
import { BatchWriter } from './batch-writer.ts';
import { freePiece } from '../../content/free-piece.ts';
import type { Ingest } from '../../content/store.ts';
import { OciError } from '../../oci/error.ts';
import type { Digest } from '../../oci/digest.ts';
import type { ByteRange } from '../../oci/range.ts';
import type { Repository } from '../../oci/reference.ts';
import { ANONYMOUS, type Credential } from './credential.ts';
import type { Pace } from './pace.ts';
import type { BlobBody, Options } from './registry-client.ts';
import { PARALLEL, SEGMENT_BYTES, SINGLE_REQUEST_BYTES, Segments } from './segments.ts';

/** Broken connections in a row, without a byte between them, after which a segment is given up. */
const BREAKS = 4;

/** Where the bytes of blobs can be had: a registry, or another replica that is just fetching them. */
export interface BlobSource {
  /** @throws OciError see `RegistryClient.getBlob` */
  getBlob(repository: Repository, digest: Digest, range: ByteRange | undefined, options: Options): Promise<BlobBody>;
  /** @throws OciError see `RegistryClient.getBlobFrom` */
  getBlobFrom(repository: Repository, digest: Digest, range: ByteRange, options: Options): Promise<BlobBody>;
}

export interface DownloadOptions {
  readonly client: BlobSource;
  readonly repository: Repository;
  /** Whose right it is; anonymous unless given. */
  readonly credential?: Credential;
  readonly digest: Digest;
  readonly pace: Pace | undefined;
  readonly signal: AbortSignal;
  /** What a manifest said of the size, if one did. Only a hint: it decides how much the first request asks for. */
  readonly expectedBytes?: number | undefined;
  /** See `Options`. */
  readonly sizeIfUntold?: Options['sizeIfUntold'];
  /** Called for all bytes that came from the source. */
  readonly received: (bytes: number) => void;
  /** Connections at once, at most. */
  readonly connections?: number;
  /** See `BREAKS`. */
  readonly breaks?: number;
}

/** The origin has answered: the blob can be read and has this size. */
export interface StartedDownload {
  readonly sizeBytes: number;
  /** Writes all that is missing into the ingest. @throws OciError */
  into(ingest: Ingest): Promise<void>;
  /** Instead of `into`, when the bytes are not wanted after all. */
  cancel(): void;
}

/**
 * Begins to fetch a blob. Small ones are one GET; larger ones are fetched in segments over several connections when
 * the origin can do ranges, since many registries give only some 40 MB/s per connection. Each byte is fetched once; a
 * broken connection is resumed where it broke.
 *
 * @param missing where to begin, when there is something already: its first gap
 * @throws OciError see `RegistryClient.getBlob`
 */
export async function startDownload(
  options: DownloadOptions,
  missing: ByteRange = { start: 0, end: Infinity },
): Promise<StartedDownload> {
  const { client, repository, digest, signal, credential = ANONYMOUS, sizeIfUntold } = options;
  const from = missing.start;
  // Of a blob that is known to be large the first request is a segment like the others: all connections at once.
  const isLarge = (options.expectedBytes ?? 0) > SINGLE_REQUEST_BYTES;
  const range = { start: from, end: Math.min(missing.end, from + (isLarge ? SEGMENT_BYTES : SINGLE_REQUEST_BYTES)) };
  const body = await client.getBlobFrom(repository, digest, range, { signal, credential, sizeIfUntold });
  const { sizeBytes } = body;
  return {
    sizeBytes,
    cancel: () => body.cancel(),
    into: async (ingest) => {
      const firstEnd = body.isRange ? Math.min(range.end, sizeBytes) : sizeBytes;
      const segments = new Segments(firstEnd, sizeBytes);
      const first = { start: body.isRange ? from : 0, end: firstEnd };
      const failed = new AbortController();
      const download = { ...options, signal: AbortSignal.any([signal, failed.signal]) };
      const others = Array.from({ length: (options.connections ?? PARALLEL) - 1 }, () =>
        fetchSegments(download, segments, ingest),
      );
      const all = [
        fetchRange(download, first, ingest, body).then(() => fetchSegments(download, segments, ingest)),
        ...others,
      ];
      try {
        await Promise.all(all);
      } catch (error) {
        failed.abort(error);
        body.cancel();
        await Promise.allSettled(all); // nobody writes any more when this function has ended
        signal.throwIfAborted(); // who stopped it is told so, in whatever the download was hit
        throw error;
      }
    },
  };
}

async function fetchSegments(options: DownloadOptions, segments: Segments, ingest: Ingest): Promise<void> {
  for (let range = segments.next(ingest.wanted()); range; range = segments.next(ingest.wanted())) {
    await fetchRange(options, range, ingest);
  }
}

/** Fetches what is missing of the range, over as many connections, one after the other, as it takes. */
async function fetchRange(options: DownloadOptions, range: ByteRange, ingest: Ingest, begun?: BlobBody): Promise<void> {
  const { client, repository, digest, signal, credential = ANONYMOUS, breaks: limit = BREAKS } = options;
  const sizeIfUntold = async (): Promise<number> => ingest.sizeBytes;
  let body = begun;
  let breaks = 0;
  for (let gap = ingest.gaps(range)[0]; gap; gap = ingest.gaps(range)[0]) {
    try {
      body ??= await client.getBlob(repository, digest, gap, { signal, credential, sizeIfUntold });
      if (body.sizeBytes !== ingest.sizeBytes)
        throw new OciError('UNAVAILABLE', 'the origin changed its mind on the size');
      await write(options, body, gap, ingest);
      // An answer without any of the bytes that it announced would be asked for again without end.
      if (ingest.gaps(range)[0]?.start === gap.start) throw new OciError('UNAVAILABLE', 'the origin sent no bytes');
    } catch (error) {
      body?.cancel();
      signal.throwIfAborted();
      const isBroken = OciError.from(error).code === 'UNAVAILABLE' && !ingest.failure;
      breaks = ingest.gaps(range)[0]?.start === gap.start ? breaks + 1 : 1;
      if (!isBroken || breaks >= limit) throw OciError.from(error);
      await delay(50 * 2 ** breaks, undefined, { signal });
    }
    body = undefined;
  }
}

/** Writes a body's bytes within the range. */
async function write(options: DownloadOptions, body: BlobBody, range: ByteRange, ingest: Ingest): Promise<void> {
  const { pace, received, repository, signal } = options;
  const writer = new BatchWriter(ingest, range.start);
  let position = body.start;
  try {
    for await (const piece of body.pieces) {
      received(piece.length);
      await pace?.spend(piece.length, repository, signal);
      // An origin that ignores ranges sends what is before the range, and after it, as well.
      const bytes = piece.subarray(Math.max(0, range.start - position), Math.max(0, range.end - position));
      position += piece.length;
      if (bytes.length > 0) await writer.add({ bytes, release: () => freePiece(piece) });
      if (position > range.end) break;
    }
  } finally {
    await writer.end(); // what has arrived counts, whatever came after it
  }
}
