import { type CallOptions, ChannelCredentials, type Client, type ClientUnaryCall } from '@grpc/grpc-js';
import type { Descriptor } from '../oci/descriptor.ts';
import { type Digest, parseDigest } from '../oci/digest.ts';
import { OciError } from '../oci/error.ts';
import { type Reference, formatReference } from '../oci/reference.ts';
import type { Descriptor__Output } from '../proto/generated/circ/v1/Descriptor.ts';
import type { Grant__Output } from '../proto/generated/circ/v1/Grant.ts';
import type { OpenBlobResponse__Output } from '../proto/generated/circ/v1/OpenBlobResponse.ts';
import type { ResolveManifestResponse__Output } from '../proto/generated/circ/v1/ResolveManifestResponse.ts';
import type { SharedTierClient } from '../proto/generated/circ/v1/SharedTier.ts';
import { loadServices } from '../proto/load.ts';
import { connectionClosed, fromGrpcError } from '../proto/status.ts';
import { type Address, formatAddress } from '../service/units.ts';
import type { Grant, Place } from './grants.ts';
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
  readonly grant: Grant | undefined;
}

/** containerd gets its answer's headers within 25 s; this leaves time for the read that follows. */
const DEADLINE_MS = 20_000;
const CHECK_MS = 2_000;
const MAX_MESSAGE_BYTES = 5 * 1024 * 1024;

export interface TierClientOptions {
  /** Until a question counts as unanswered. */
  readonly deadlineMs?: number;
  readonly credentials?: ChannelCredentials;
}

/** What can be asked of the shared tier. Every question throws what the tier threw, or UNAVAILABLE when it is away. */
export type TierQuestions = Pick<TierClient, 'resolveManifest' | 'openBlob'>;

/** The connection to one replica of the shared tier. Disposing it ends what was asked through it, as UNAVAILABLE. */
export class TierClient implements Disposable {
  readonly #client: SharedTierClient;
  readonly #deadlineMs: number;
  readonly #calls = new Set<{ cancel(): void }>();
  #isClosed = false;

  constructor(address: Address, options: TierClientOptions = {}) {
    const { deadlineMs = DEADLINE_MS, credentials = ChannelCredentials.createInsecure() } = options;
    this.#deadlineMs = deadlineMs;
    this.#client = new (loadServices().SharedTier)(formatAddress(address), credentials, {
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
    target: Place,
    reference: Reference,
    { accept, withContent, grant }: { accept: readonly string[]; withContent: boolean; grant: Uint8Array },
  ): Promise<TierManifest> {
    const request = {
      target,
      reference: formatReference(reference),
      accept: [...accept],
      withContent,
      grant: Buffer.from(grant),
    };
    const answer = await this.#ask<ResolveManifestResponse__Output>((options, callback) =>
      this.#client.resolveManifest(request, options, callback),
    );
    return {
      descriptor: fromWire(answer.manifest),
      content: answer.content,
      readable: answer.readable.map(fromWire),
      fromOrigin: answer.fromOrigin,
      grant: grantFromWire(answer.grant),
    };
  }

  /** @param statOnly begins no fetch; then there is no URL */
  async openBlob(
    target: Place,
    digest: Digest,
    { grant, statOnly }: { grant: Uint8Array; statOnly: boolean },
  ): Promise<TierBlob> {
    const request = { target, digest, grant: Buffer.from(grant), statOnly };
    const answer = await this.#ask<OpenBlobResponse__Output>((options, callback) =>
      this.#client.openBlob(request, options, callback),
    );
    const { size, readUrl, fromOrigin } = answer;
    return {
      sizeBytes: size,
      readUrl: URL.canParse(readUrl) ? new URL(readUrl) : undefined,
      fromOrigin,
      grant: grantFromWire(answer.grant),
    };
  }

  [Symbol.dispose](): void {
    this.#isClosed = true;
    (this.#client as Client).close();
    for (const call of this.#calls) call.cancel();
  }

  async #ask<Answer>(
    call: (options: CallOptions, callback: (error: Error | null, answer?: Answer) => void) => ClientUnaryCall,
  ): Promise<Answer> {
    if (this.#isClosed) throw fromGrpcError(connectionClosed());
    const { promise, resolve, reject } = Promise.withResolvers<Answer>();
    const asking = call({ deadline: Date.now() + this.#deadlineMs }, (error, answer) => {
      if (answer !== undefined && !error) resolve(answer);
      else reject(fromGrpcError(error));
    });
    this.#calls.add(asking);
    try {
      return await promise;
    } finally {
      this.#calls.delete(asking);
    }
  }
}

function fromWire(descriptor: Descriptor__Output | null): Descriptor {
  if (!descriptor) throw new OciError('UNAVAILABLE', 'the shared tier gave no usable answer');
  const { mediaType, digest, size } = descriptor;
  return { mediaType, digest: parseDigest(digest), sizeBytes: size };
}

function grantFromWire(grant: Grant__Output | null): Grant | undefined {
  return grant && grant.token.length > 0 ? { token: grant.token, validForMs: grant.validForMs } : undefined;
}
