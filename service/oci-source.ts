import type { Chunks } from '../content/chunk.ts';
import type { Descriptor } from '../oci/descriptor.ts';
import type { ByteRange } from '../oci/range.ts';
import type { BlobRequest, ListRequest, ManifestRequest } from '../oci/request.ts';

/** Where the bytes of an answer came from. */
export const ORIGINS = ['node-hit', 'tier-hit', 'origin'] as const;
export type Origin = (typeof ORIGINS)[number];

/** What became of a request: the closed list of the metrics' `outcome` label. */
export const OUTCOMES = [...ORIGINS, 'denied', 'unavailable', 'error'] as const;
export type Outcome = (typeof OUTCOMES)[number];

export interface ManifestAnswer {
  readonly descriptor: Descriptor;
  readonly outcome: Origin;
  /** All bytes, verified; absent when they were not asked for. */
  readonly content?: Uint8Array;
}

export interface BlobAnswer extends AsyncDisposable {
  readonly sizeBytes: number;
  readonly outcome: Origin;
  /** Where the client is sent for the bytes; then nobody asks for chunks. */
  readonly redirect?: URL;
  /** See `Content.chunks`. Called at most once. */
  chunks(range: ByteRange, options: { signal: AbortSignal }): Chunks;
}

/** One part of a list, as the registry has it now. */
export interface ListAnswer {
  /** JSON. */
  readonly content: Uint8Array;
  /** Query of the request for the next part; undefined: this is the last. */
  readonly next: string | undefined;
  /** `OCI-Filters-Applied` of the registry. */
  readonly filters: string | undefined;
}

/**
 * What answers the reads of the distribution API; the agent and the shared tier both are one. Every method throws an
 * OciError, and settles within 25 s.
 */
export interface OciSource {
  manifest(request: ManifestRequest, options: { withContent: boolean; signal: AbortSignal }): Promise<ManifestAnswer>;
  statBlob(request: BlobRequest, options: { signal: AbortSignal }): Promise<{ sizeBytes: number; outcome: Origin }>;
  openBlob(request: BlobRequest, options: { signal: AbortSignal }): Promise<BlobAnswer>;
  list(request: ListRequest): Promise<ListAnswer>;
}
