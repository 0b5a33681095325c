import { type CallOptions, type Client, credentials } from '@grpc/grpc-js';
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
import { fromGrpcError } from '../proto/status.ts';
import { type Address, formatAddress } from '../service/units.ts';
import type { Caller, Grant } from './grants.ts';

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
const MAX_MESSAGE_BYTES = 5 * 1024 * 1024;

/** The questions to the shared tier. Every method throws what the tier threw, or UNAVAILABLE when it is away. */
export class TierClient implements Disposable {
  readonly #client: SharedTierClient;
  readonly #deadlineMs: number;

  /** @param options.deadlineMs until a question counts as unanswered */
  constructor(address: Address, { deadlineMs = DEADLINE_MS }: { deadlineMs?: number } = {}) {
    this.#deadlineMs = deadlineMs;
    this.#client = new (loadServices().SharedTier)(formatAddress(address), credentials.createInsecure(), {
      'grpc.max_receive_message_length': MAX_MESSAGE_BYTES,
      // A tier that was away is found again soon; meanwhile calls fail at once, and containerd asks the origin.
      'grpc.initial_reconnect_backoff_ms': 100,
      'grpc.max_reconnect_backoff_ms': 2_000,
      'grpc.keepalive_time_ms': 10_000,
      'grpc.keepalive_timeout_ms': 3_000,
    });
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
    const answer = await this.#ask<ResolveManifestResponse__Output>((options, callback) => {
      this.#client.resolveManifest(request, options, callback);
    });
    return {
      descriptor: fromWire(answer.manifest),
      content: answer.content,
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
    const answer = await this.#ask<OpenBlobResponse__Output>((options, callback) => {
      this.#client.openBlob(request, options, callback);
    });
    const { size, readUrl, fromOrigin } = answer;
    return {
      sizeBytes: size,
      readUrl: URL.canParse(readUrl) ? new URL(readUrl) : undefined,
      fromOrigin,
      grant: grantFromWire(answer.grant, askedAtMs),
    };
  }

  [Symbol.dispose](): void {
    (this.#client as Client).close();
  }

  async #ask<Answer>(
    call: (options: CallOptions, callback: (error: Error | null, answer?: Answer) => void) => void,
  ): Promise<Answer> {
    const { promise, resolve, reject } = Promise.withResolvers<Answer>();
    call({ deadline: Date.now() + this.#deadlineMs }, (error, answer) => {
      if (answer !== undefined && !error) resolve(answer);
      else reject(fromGrpcError(error));
    });
    return await promise;
  }
}

function fromWire(descriptor: Descriptor__Output | null): Descriptor {
  if (!descriptor) throw new OciError('UNAVAILABLE', 'the shared tier gave no usable answer');
  const { mediaType, digest, size } = descriptor;
  return { mediaType, digest: parseDigest(digest), sizeBytes: size };
}

/** The answer was given after it was asked for: counted from then, the end cannot be later than the tier meant it. */
function grantFromWire(grant: Grant__Output | null, askedAtMs: number): Grant | undefined {
  return grant && grant.token.length > 0 ? { token: grant.token, endsAtMs: askedAtMs + grant.validForMs } : undefined;
}

const FORMS = { ns: 'FORM_NS', path: 'FORM_PATH', default: 'FORM_DEFAULT' } as const;

function toWire({ registry, repository, authorization, form }: Caller) {
  return { target: { registry, repository }, authorization: authorization?.header ?? '', form: FORMS[form] };
}
