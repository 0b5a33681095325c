import {
  type Metadata,
  Server,
  ServerCredentials,
  ServerInterceptingCall,
  type ServerUnaryCall,
  type sendUnaryData,
} from '@grpc/grpc-js';
import { HealthImplementation } from 'grpc-health-check';
import type { ListRequest__Output } from '../../proto/generated/circ/v1/ListRequest.ts';
import type { ListResponse } from '../../proto/generated/circ/v1/ListResponse.ts';
import type { OpenBlobRequest__Output } from '../../proto/generated/circ/v1/OpenBlobRequest.ts';
import type { OpenBlobResponse } from '../../proto/generated/circ/v1/OpenBlobResponse.ts';
import type { ResolveManifestRequest__Output } from '../../proto/generated/circ/v1/ResolveManifestRequest.ts';
import type { ResolveManifestResponse } from '../../proto/generated/circ/v1/ResolveManifestResponse.ts';
import type { SharedTierHandlers } from '../../proto/generated/circ/v1/SharedTier.ts';
import { loadServices } from '../../proto/load.ts';
import { toGrpcError } from '../../proto/status.ts';
import { type Address, formatAddress } from '../../service/units.ts';

/** What a tier's handler does: an answer, or a throw (an OciError becomes the status that the contract gives it). */
export interface TierAnswers {
  openBlob?: (request: OpenBlobRequest__Output) => OpenBlobResponse | Promise<OpenBlobResponse>;
  list?: (request: ListRequest__Output) => ListResponse | Promise<ListResponse>;
  resolveManifest?: (
    request: ResolveManifestRequest__Output,
  ) => ResolveManifestResponse | Promise<ResolveManifestResponse>;
}

export interface ScriptedTierOptions {
  readonly listen?: Address;
  readonly credentials?: ServerCredentials;
}

const ANYWHERE: Address = { host: '127.0.0.1', port: 0 };

/** The gRPC face of a shared tier that answers as a test says, for tests of the agent alone. */
export class ScriptedTier implements AsyncDisposable {
  readonly #server = new Server({
    interceptors: [
      ({ path }, call) => {
        if (path === '/grpc.health.v1.Health/Check') this.healthChecks += 1;
        return new ServerInterceptingCall(call, {
          sendMessage: (message, next) => void this.silence.then(() => next(message)),
        });
      },
    ],
  });
  /** How often it was asked for a sign of life. */
  healthChecks = 0;
  /** Nothing that it has to say is sent before this. */
  silence: Promise<unknown> = Promise.resolve();
  /** What it says of itself, to those who watch. */
  readonly health = new HealthImplementation({ '': 'SERVING' });
  readonly #listen: Address;
  #port = 0;
  /** May be changed at any time. */
  answers: TierAnswers;
  /** What was asked, in order. */
  readonly blobQuestions: OpenBlobRequest__Output[] = [];
  readonly manifestQuestions: ResolveManifestRequest__Output[] = [];
  readonly listQuestions: ListRequest__Output[] = [];
  /** What came along with each question about a blob. */
  readonly metadata: Metadata[] = [];

  constructor(answers: TierAnswers, listen: Address) {
    this.answers = answers;
    this.#listen = listen;
    const handlers: SharedTierHandlers = {
      OpenBlob: answering((request, metadata) => {
        this.metadata.push(metadata);
        this.blobQuestions.push(request);
        return this.answers.openBlob?.(request) ?? {};
      }),
      ResolveManifest: answering((request) => {
        this.manifestQuestions.push(request);
        return this.answers.resolveManifest?.(request) ?? {};
      }),
      List: answering((request) => {
        this.listQuestions.push(request);
        return this.answers.list?.(request) ?? {};
      }),
    };
    this.#server.addService(loadServices().SharedTier.service, handlers);
    this.health.addToServer(this.#server);
  }

  get address(): Address {
    return { host: this.#listen.host, port: this.#port };
  }

  async up(credentials: ServerCredentials): Promise<this> {
    this.#port = await new Promise((resolve, reject) => {
      this.#server.bindAsync(formatAddress(this.#listen), credentials, (error, port) => {
        if (error) reject(error);
        else resolve(port);
      });
    });
    return this;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#server.forceShutdown();
  }
}

/** Starts one: `await using tier = await scriptedTier({ openBlob: () => ({ size: 5, readUrl }) })`. */
export async function scriptedTier(
  answers: TierAnswers = {},
  { listen = ANYWHERE, credentials = ServerCredentials.createInsecure() }: ScriptedTierOptions = {},
): Promise<ScriptedTier> {
  return await new ScriptedTier(answers, listen).up(credentials);
}

function answering<Request, Response>(answer: (request: Request, metadata: Metadata) => Response | Promise<Response>) {
  return (call: ServerUnaryCall<Request, Response>, callback: sendUnaryData<Response>): void => {
    Promise.try(answer, call.request, call.metadata).then(
      (response) => callback(null, response),
      (error: unknown) => callback(toGrpcError(error)),
    );
  };
}
