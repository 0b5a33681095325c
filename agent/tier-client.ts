import type { CallOptions, Client, ClientUnaryCall, Metadata } from '@grpc/grpc-js';
import type { Descriptor } from '../oci/descriptor.ts';
import { type Digest, parseDigest } from '../oci/digest.ts';
import { OciError } from '../oci/error.ts';
import { type Reference, formatReference } from '../oci/reference.ts';
import type { Descriptor__Output } from '../proto/generated/circ/v1/Descriptor.ts';
import type { Grant__Output } from '../proto/generated/circ/v1/Grant.ts';
import type { ListResponse__Output } from '../proto/generated/circ/v1/ListResponse.ts';
import type { OpenBlobResponse__Output } from '../proto/generated/circ/v1/OpenBlobResponse.ts';
import type { ResolveManifestResponse__Output } from '../proto/generated/circ/v1/ResolveManifestResponse.ts';
import type { SharedTierClient } from '../proto/generated/circ/v1/SharedTier.ts';
import { loadServices } from '../proto/load.ts';
import { connectionClosed, fromGrpcError } from '../proto/status.ts';
import type { ListAnswer } from '../service/oci-source.ts';
import { type Address, formatAddress } from '../service/units.ts';
import type { Caller, Grant } from './grants.ts';
import { NO_CREDENTIALS, type TierCredentials } from './tier-credentials.ts';
import { checkHealth, isServing, watchHealth } from './tier-health.ts';

export interface TierManifest {
  readonly descriptor: Descriptor;
  readonly content: Uint8Array;
  readonly readable: readonly Descriptor[];
  readonly fromOrigin: boolean;
  readonly grant: Grant | undefined;
}

export interface TierBlob {
  readonly sizeBytes: number;
  readonly readUrl: URL | undefined;
  readonly fromOrigin: boolean;
  /** The replica that was asked has no room for it, and reads it from the origin for each who asks. */
  readonly isPassedThrough: boolean;
  readonly grant: Grant | undefined;
}

/** containerd gets its answer's headers within 25 s; this leaves time for the read that follows. */
const DEADLINE_MS = 23_500;
const CHECK_MS = 2_000;
const MAX_MESSAGE_BYTES = 5 * 1024 * 1024;

export interface TierClientOptions {
  /** Until a question counts as unanswered. */
  readonly deadlineMs?: number;
  readonly credentials?: TierCredentials;
  /** A question was not answered, or not with what was asked for. Must not throw. */
  readonly failed?: (error: OciError) => void;
}

/** What can be asked of the shared tier. Every question throws what the tier threw, or UNAVAILABLE when it is away. */
export type TierQuestions = Pick<TierClient, 'resolveManifest' | 'openBlob' | 'list'>;

/** The connection to one replica of the shared tier. Disposing it ends what was asked through it, as UNAVAILABLE. */
export class TierClient implements Disposable {
  readonly #client: SharedTierClient;
  readonly #deadlineMs: number;
  readonly #credentials: TierCredentials;
  readonly #failed: (error: OciError) => void;
  readonly #calls = new Set<{ cancel(): void }>();
  #isClosed = false;

  constructor(address: Address, options: TierClientOptions = {}) {
    const { deadlineMs = DEADLINE_MS, credentials = NO_CREDENTIALS, failed = () => undefined } = options;
    this.#deadlineMs = deadlineMs;
    this.#credentials = credentials;
    this.#failed = failed;
    this.#client = new (loadServices().SharedTier)(formatAddress(address), credentials.channel, {
      ...credentials.channelOptions,
      'grpc.max_receive_message_length': MAX_MESSAGE_BYTES,
      // What one client has given up, the next must not find in grpc-js's pool of connections.
      'grpc.use_local_subchannel_pool': 1,
      'grpc.initial_reconnect_backoff_ms': 100,
      'grpc.max_reconnect_backoff_ms': 2_000,
      // For when nothing is asked; while something is, `Pulse` looks closer.
      'grpc.keepalive_time_ms': 10_000,
      'grpc.keepalive_timeout_ms': 3_000,
    });
  }

  /** What the replica says of itself, now and after each change: does it serve? Ends or throws when it is not heard. */
  async *serving(): AsyncGenerator<boolean, void, void> {
    const call = watchHealth(this.#client);
    this.#calls.add(call);
    try {
      for await (const answer of call) yield isServing(answer);
    } finally {
      this.#calls.delete(call);
    }
  }

  /** Asks for a sign of life. */
  check(answered: () => void): void {
    if (!this.#isClosed) checkHealth(this.#client, Date.now() + CHECK_MS, answered);
  }

  async resolveManifest(
    caller: Caller,
    reference: Reference,
    { accept, withContent, grant }: { accept: readonly string[]; withContent: boolean; grant: Uint8Array },
  ): Promise<TierManifest> {
    const request = {
      ...toWire(caller),
      reference: formatReference(reference),
      accept: [...accept],
      withContent,
      grant: Buffer.from(grant),
    };
    const askedAtMs = Date.now();
    const answer = await this.#ask<ResolveManifestResponse__Output>((metadata, options, callback) =>
      this.#client.resolveManifest(request, metadata, options, callback),
    );
    return {
      descriptor: fromWire(answer.manifest),
      content: alone(answer.content),
      readable: answer.readable.map(fromWire),
      fromOrigin: answer.fromOrigin,
      grant: grantFromWire(answer.grant, askedAtMs),
    };
  }

  /** @param statOnly begins no fetch; then there is no URL */
  async openBlob(
    caller: Caller,
    digest: Digest,
    { grant, statOnly }: { grant: Uint8Array; statOnly: boolean },
  ): Promise<TierBlob> {
    const request = { ...toWire(caller), digest, grant: Buffer.from(grant), statOnly };
    const askedAtMs = Date.now();
    const answer = await this.#ask<OpenBlobResponse__Output>((metadata, options, callback) =>
      this.#client.openBlob(request, metadata, options, callback),
    );
    const { size, readUrl, fromOrigin, passedThrough: isPassedThrough } = answer;
    return {
      sizeBytes: size,
      readUrl: URL.canParse(readUrl) ? new URL(readUrl) : undefined,
      fromOrigin,
      isPassedThrough,
      grant: grantFromWire(answer.grant, askedAtMs),
    };
  }

  /** @param subject whose referrers; undefined: the tags */
  async list(
    caller: Caller,
    { subject, query }: { subject: Digest | undefined; query: URLSearchParams },
  ): Promise<ListAnswer> {
    const request = { ...toWire(caller), subject: subject ?? '', query: query.toString() };
    const answer = await this.#ask<ListResponse__Output>((metadata, options, callback) =>
      this.#client.list(request, metadata, options, callback),
    );
    const { content, next, filtersApplied } = answer;
    return { content, next: next || undefined, filters: filtersApplied || undefined };
  }

  [Symbol.dispose](): void {
    this.#isClosed = true;
    (this.#client as Client).close();
    for (const call of this.#calls) call.cancel();
  }

  async #ask<Answer>(
    call: (
      metadata: Metadata,
      options: CallOptions,
      callback: (error: Error | null, answer?: Answer) => void,
    ) => ClientUnaryCall,
  ): Promise<Answer> {
    const { promise, resolve, reject } = Promise.withResolvers<Answer>();
    let asking: ClientUnaryCall | undefined;
    try {
      const metadata = await this.#credentials.metadata();
      if (this.#isClosed) throw connectionClosed();
      asking = call(metadata, { deadline: Date.now() + this.#deadlineMs }, (error, answer) => {
        if (answer !== undefined && !error) resolve(answer);
        else reject(error ?? new Error('neither answer nor error'));
      });
      this.#calls.add(asking);
      return await promise;
    } catch (reason) {
      const error = fromGrpcError(reason);
      this.#failed(error);
      throw error;
    } finally {
      if (asking) this.#calls.delete(asking);
    }
  }
}

function fromWire(descriptor: Descriptor__Output | null): Descriptor {
  if (!descriptor) throw new OciError('UNAVAILABLE', 'the shared tier gave no usable answer');
  const { mediaType, digest, size } = descriptor;
  return { mediaType, digest: parseDigest(digest), sizeBytes: size };
}

/** The answer was given after it was asked for: counted from then, the end cannot be later than the tier meant it. */
function grantFromWire(grant: Grant__Output | null, askedAtMs: number): Grant | undefined {
  return grant && grant.token.length > 0
    ? { token: alone(grant.token), endsAtMs: askedAtMs + grant.validForMs }
    : undefined;
}

/** gRPC gives a part of the 64 KiB that came from its socket at once. Who remembers that part remembers all of them. */
function alone(bytes: Uint8Array): Uint8Array {
  return new Uint8Array(bytes);
}

const FORMS = { ns: 'FORM_NS', path: 'FORM_PATH', default: 'FORM_DEFAULT' } as const;

function toWire({ registry, repository, authorization, form }: Caller) {
  return { target: { registry, repository }, authorization: authorization?.header ?? '', form: FORMS[form] };
}
