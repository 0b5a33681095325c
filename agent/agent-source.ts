import { LRUCache } from 'lru-cache';
import type { Chunk, Chunks } from '../content/chunk.ts';
import type { Content, ContentStore } from '../content/store.ts';
import { type Descriptor, isManifestMediaType } from '../oci/descriptor.ts';
import { type Digest, algorithmOf, digestOf } from '../oci/digest.ts';
import { OciError } from '../oci/error.ts';
import { type ByteRange, resolveRange } from '../oci/range.ts';
import type { Reference, Registry } from '../oci/reference.ts';
import type { BlobRequest, ListRequest, ManifestRequest } from '../oci/request.ts';
import type { BlobAnswer, ListAnswer, ManifestAnswer, Origin, OciSource } from '../service/oci-source.ts';
import type { Admission } from './admission.ts';
import type { Fills } from './fills.ts';
import type { Caller, Grants } from './grants.ts';
import type { Redirects } from './redirects.ts';
import { NOTHING, type Reader, type Relay, type RelayedBlob } from './relay.ts';
import type { TierQuestions } from './tier-client.ts';

export interface AgentSourceOptions {
  readonly tier: TierQuestions;
  readonly store: ContentStore;
  readonly grants: Grants;
  readonly admission: Admission;
  readonly relay: Relay;
  readonly fills: Fills;
  /** Absent: everything is relayed. */
  readonly redirects?: Redirects;
  /** The node's disk cannot be read; the tier is asked instead. */
  readonly storeFailed: (error: OciError) => void;
}

const MANIFEST_MEMORY_BYTES = 16 * 1024 * 1024;

/** Why a copy may stop though its bytes were right so far. */
const STOPPED = new Set<string>(['UNAVAILABLE', 'BLOB_UNKNOWN', 'UNAUTHORIZED']);

/** What the node answers: what it may and has itself, else what the shared tier says. */
export class AgentSource implements OciSource {
  readonly #options: AgentSourceOptions;
  /** By registry and digest: what one has delivered tells nothing of what another has. A grant decides who sees it. */
  readonly #manifests = new LRUCache<string, Uint8Array>({
    maxSize: MANIFEST_MEMORY_BYTES,
    sizeCalculation: (content) => content.length + 100,
  });

  constructor(options: AgentSourceOptions) {
    this.#options = options;
  }

  async manifest(request: ManifestRequest, { withContent }: { withContent: boolean }): Promise<ManifestAnswer> {
    const { reference, accept } = request;
    const { caller, grants } = this.#readerOf(request);
    if (reference.kind === 'digest') {
      const descriptor = grants.readable(reference.digest);
      const content = this.#manifests.get(manifestKey(request.registry, reference.digest));
      const isManifest = descriptor && isManifestMediaType(descriptor.mediaType);
      if (isManifest && (content || !withContent))
        return { descriptor, outcome: 'node-hit', ...(content && { content }) };
    }
    const question = { accept, withContent, grant: grants.token };
    const answer = await this.#options.tier.resolveManifest(caller, reference, question);
    const { descriptor, content, readable, grant, fromOrigin } = answer;
    assertAnswers(reference, descriptor, withContent ? content : undefined);
    grants.learn(grant, [descriptor, ...readable]);
    const outcome = outcomeOf(fromOrigin);
    if (!withContent) return { descriptor, outcome };
    this.#manifests.set(manifestKey(request.registry, descriptor.digest), content);
    return { descriptor, outcome, content };
  }

  async statBlob(request: BlobRequest): Promise<{ sizeBytes: number; outcome: Origin }> {
    const reader = this.#readerOf(request);
    const known = reader.grants.readable(request.digest);
    // What is granted as a manifest is no blob; the tier says so.
    if (known && !isManifestMediaType(known.mediaType)) return { sizeBytes: known.sizeBytes, outcome: 'node-hit' };
    const { sizeBytes, fromOrigin } = await this.#options.relay.locate(reader, request.digest, { statOnly: true });
    return { sizeBytes, outcome: outcomeOf(fromOrigin) };
  }

  async openBlob(request: BlobRequest, { signal }: { signal: AbortSignal }): Promise<BlobAnswer> {
    const { relay, admission, fills, redirects } = this.#options;
    const { digest } = request;
    const keep = admission.request(digest, startsAtZero(request));
    const reader = this.#readerOf(request);
    if (reader.grants.readable(digest)) {
      const stored = await this.#openStored(digest);
      if (stored) return fromContent(stored, 'node-hit');
    }
    const located = await relay.locate(reader, digest, { statOnly: false });
    const outcome = outcomeOf(located.fromOrigin);
    // The node may have these bytes of another registry: they are this one's as well once they have come from it, to the
    // tier or (what the tier has no room for) to this node.
    const isCommitted = !located.fromOrigin;
    const isThis = isCommitted || fills.hasDelivered(request.registry, digest);
    const stored = isThis ? await this.#openStored(digest) : undefined;
    if (stored) return fromContent(stored, 'node-hit');

    const { sizeBytes } = located;
    const range = request.range ? resolveRange(request.range, sizeBytes) : { start: 0, end: sizeBytes };
    const blob = { ...reader, digest, located };
    if (keep) fills.start(blob);
    const filling = await fills.follow(blob, range.start);
    if (filling) return this.#following(filling, blob, outcome);
    const { readUrl } = located;
    // What is still arriving may turn out wrong or stop: then the agent can resume, and a client alone could not.
    if (redirects && readUrl && isCommitted && !keep && redirects.take(readUrl)) return elsewhere(readUrl, sizeBytes);
    const chunks = await relay.open(blob, range, signal);
    return {
      sizeBytes,
      outcome,
      chunks: () => chunks,
      [Symbol.asyncDispose]: async () => chunks[Symbol.dispose](),
    };
  }

  async list({ registry, repository, authorization, form, subject, query }: ListRequest): Promise<ListAnswer> {
    return await this.#options.tier.list({ registry, repository, authorization, form }, { subject, query });
  }

  #readerOf({ registry, repository, authorization, form }: Caller): Reader {
    const caller = { registry, repository, authorization, form };
    return { caller, grants: this.#options.grants.of(caller) };
  }

  async #openStored(digest: Digest): Promise<Content | undefined> {
    try {
      return await this.#options.store.open(digest);
    } catch (error) {
      this.#options.storeFailed(OciError.from(error));
      return undefined;
    }
  }

  /** Reads along with a fill; when that fails (the disk is full, say), goes on from the tier where it stopped. */
  #following(content: Content, blob: RelayedBlob, outcome: Origin): BlobAnswer {
    const { relay } = this.#options;
    const chunks = async function* (range: ByteRange, { signal }: { signal: AbortSignal }): AsyncGenerator<Chunk> {
      let position = range.start;
      try {
        for await (const chunk of content.chunks(range, { signal })) {
          position += chunk.bytes.length;
          yield chunk;
        }
      } catch (error) {
        // Also when the right of the one for whom the copy was begun has ended: this reader has its own.
        if (signal.aborted || !STOPPED.has(OciError.from(error).code)) throw error;
        yield* await relay.open(blob, { start: position, end: range.end }, signal);
      }
    };
    return {
      sizeBytes: content.sizeBytes,
      outcome,
      chunks: (range, options): Chunks => chunks(range, options),
      [Symbol.asyncDispose]: () => content[Symbol.asyncDispose](),
    };
  }
}

function manifestKey(registry: Registry, digest: Digest): string {
  return `${registry} ${digest}`;
}

/** A manifest is small, kept in memory under its digest, and the root of all that is pulled: it is hashed here too. */
function assertAnswers(reference: Reference, { digest }: Descriptor, content: Uint8Array | undefined): void {
  const isAsked = reference.kind === 'tag' || reference.digest === digest;
  if (isAsked && (!content || digestOf(content, algorithmOf(digest)) === digest)) return;
  throw new OciError('UNAVAILABLE', 'the shared tier gave no usable answer');
}

function fromContent(content: Content, outcome: Origin): BlobAnswer {
  return {
    sizeBytes: content.sizeBytes,
    outcome,
    chunks: (range, options) => content.chunks(range, options),
    [Symbol.asyncDispose]: () => content[Symbol.asyncDispose](),
  };
}

/** The query tells the tier that who comes with it follows redirects, and may be sent on to where the bytes are. */
function elsewhere(readUrl: URL, sizeBytes: number): BlobAnswer {
  const redirect = new URL('?follow', readUrl);
  return {
    sizeBytes,
    outcome: 'tier-hit',
    redirect,
    chunks: () => NOTHING,
    [Symbol.asyncDispose]: async () => undefined,
  };
}

function startsAtZero({ range }: BlobRequest): boolean {
  return range === undefined || ('first' in range && range.first === 0);
}

function outcomeOf(fromOrigin: boolean): Origin {
  return fromOrigin ? 'origin' : 'tier-hit';
}
