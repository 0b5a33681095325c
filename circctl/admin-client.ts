import type { CallOptions, Client, ClientReadableStream, Metadata, ServiceError } from '@grpc/grpc-js';
import { type TierCredentials, NO_CREDENTIALS } from '../agent/tier-credentials.ts';
import type { AdminClient as WireClient } from '../proto/generated/circ/v1/Admin.ts';
import type { EvictRequest } from '../proto/generated/circ/v1/EvictRequest.ts';
import type { EvictResponse__Output } from '../proto/generated/circ/v1/EvictResponse.ts';
import type { GetStatsResponse__Output } from '../proto/generated/circ/v1/GetStatsResponse.ts';
import type { ListBlobsRequest } from '../proto/generated/circ/v1/ListBlobsRequest.ts';
import type { ListBlobsResponse__Output } from '../proto/generated/circ/v1/ListBlobsResponse.ts';
import type { ListRepositoriesRequest } from '../proto/generated/circ/v1/ListRepositoriesRequest.ts';
import type { ListRepositoriesResponse__Output } from '../proto/generated/circ/v1/ListRepositoriesResponse.ts';
import type { PreheatRequest } from '../proto/generated/circ/v1/PreheatRequest.ts';
import type { PreheatResponse__Output } from '../proto/generated/circ/v1/PreheatResponse.ts';
import type { VerifyResponse__Output } from '../proto/generated/circ/v1/VerifyResponse.ts';
import type { WatchFetchesResponse__Output } from '../proto/generated/circ/v1/WatchFetchesResponse.ts';
import { loadServices } from '../proto/load.ts';
import { fromGrpcError } from '../proto/status.ts';
import { type Address, formatAddress } from '../service/units.ts';

export interface AdminClientOptions {
  /** None unless given: no TLS, no token. */
  readonly credentials?: TierCredentials;
  /** How long one answer may take; streams may take as long as they like. */
  readonly deadlineMs?: number;
}

type Answered<T> = (error: ServiceError | null, answer?: T) => void;

const DEADLINE_MS = 30_000;

/** The admin service of one replica. Everything throws OciErrors: the replica's own, or UNAVAILABLE with the cause. */
export class AdminClient implements Disposable {
  readonly #client: WireClient;
  readonly #credentials: TierCredentials;
  readonly #deadlineMs: number;

  constructor(address: Address, { credentials = NO_CREDENTIALS, deadlineMs = DEADLINE_MS }: AdminClientOptions = {}) {
    this.#credentials = credentials;
    this.#deadlineMs = deadlineMs;
    this.#client = new (loadServices().Admin)(formatAddress(address), credentials.channel, {
      ...credentials.channelOptions,
      'grpc.use_local_subchannel_pool': 1,
    });
  }

  async stats(): Promise<GetStatsResponse__Output> {
    return await this.#ask((...call) => this.#client.getStats({}, ...call));
  }

  async repositories(request: ListRepositoriesRequest): Promise<ListRepositoriesResponse__Output> {
    return await this.#ask((...call) => this.#client.listRepositories(request, ...call));
  }

  async blobs(request: ListBlobsRequest): Promise<ListBlobsResponse__Output> {
    return await this.#ask((...call) => this.#client.listBlobs(request, ...call));
  }

  /** @param deadlineMs of a large store all of it may take a while */
  async evict(request: EvictRequest, deadlineMs = 10 * 60_000): Promise<EvictResponse__Output> {
    return await this.#ask((...call) => this.#client.evict(request, ...call), deadlineMs);
  }

  fetches(): AsyncGenerator<WatchFetchesResponse__Output, void, void> {
    return this.#stream((metadata) => this.#client.watchFetches({}, metadata));
  }

  preheat(request: PreheatRequest): AsyncGenerator<PreheatResponse__Output, void, void> {
    return this.#stream((metadata) => this.#client.preheat(request, metadata));
  }

  verify(): AsyncGenerator<VerifyResponse__Output, void, void> {
    return this.#stream((metadata) => this.#client.verify({}, metadata));
  }

  [Symbol.dispose](): void {
    (this.#client as Client).close();
  }

  async #ask<Answer>(
    call: (metadata: Metadata, options: CallOptions, answered: Answered<Answer>) => unknown,
    deadlineMs = this.#deadlineMs,
  ): Promise<Answer> {
    const { promise, resolve, reject } = Promise.withResolvers<Answer>();
    try {
      const metadata = await this.#credentials.metadata();
      call(metadata, { deadline: Date.now() + deadlineMs }, (error, answer) => {
        if (answer !== undefined && !error) resolve(answer);
        else reject(error ?? new Error('neither answer nor error'));
      });
      return await promise;
    } catch (reason) {
      throw fromGrpcError(reason);
    }
  }

  /** The answers as they come; who stops reading hangs up. */
  async *#stream<Answer>(
    call: (metadata: Metadata) => ClientReadableStream<Answer>,
  ): AsyncGenerator<Answer, void, void> {
    let stream: ClientReadableStream<Answer> | undefined;
    try {
      stream = call(await this.#credentials.metadata());
      for await (const answer of stream) yield answer as Answer;
    } catch (reason) {
      throw fromGrpcError(reason);
    } finally {
      stream?.cancel();
    }
  }
}
