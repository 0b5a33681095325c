import { type Client, type Metadata, Server, ServerCredentials, credentials } from '@grpc/grpc-js';
import { type ServerUnaryCall, type ServiceError, type sendUnaryData, status } from '@grpc/grpc-js';
import { HealthImplementation } from 'grpc-health-check';
import { loadServices } from '../../proto/load.ts';
import { type Address, formatAddress } from '../../service/units.ts';

/** A message as the wire has it, whatever fields the contract gives it. */
export type Message = Readonly<Record<string, unknown>>;

/** One question of the agent and what the tier answered. */
export interface Tapped {
  readonly method: string;
  readonly request: Message;
  readonly metadata: Metadata;
  /** Undefined for an error. */
  readonly response: Message | undefined;
}

type Answer = (error: ServiceError | null, response?: Message) => void;
type Method = (request: Message, metadata: Metadata, answer: Answer) => void;

/**
 * Stands between agent and tier, as somebody does who has got hold of one of them: hears everything that is said, and
 * can say the same or other things to the tier itself.
 */
export class GrpcTap implements AsyncDisposable {
  readonly heard: Tapped[] = [];
  readonly #server = new Server();
  #client: Client | undefined;

  /** What `startHouse({ between })` wants: `between: (tier) => tap.between(tier)`. */
  async between(tier: Address): Promise<Address> {
    const { SharedTier } = loadServices();
    this.#client = new SharedTier(formatAddress(tier), credentials.createInsecure()) as unknown as Client;
    const handlers = Object.fromEntries(
      Object.keys(SharedTier.service).map((method) => [
        method,
        (call: ServerUnaryCall<Message, Message>, callback: sendUnaryData<Message>) => {
          this.#forward(method, call.request, call.metadata, (error, response) => {
            this.heard.push({ method, request: call.request, metadata: call.metadata, response });
            if (error) callback(error);
            else callback(null, response ?? {});
          });
        },
      ]),
    );
    this.#server.addService(SharedTier.service, handlers);
    new HealthImplementation({ '': 'SERVING' }).addToServer(this.#server);
    const { promise, resolve, reject } = Promise.withResolvers<number>();
    this.#server.bindAsync('127.0.0.1:0', ServerCredentials.createInsecure(), (error, port) => {
      if (error) reject(error);
      else resolve(port);
    });
    return { host: '127.0.0.1', port: await promise };
  }

  /** Asks the tier; the response, or the status of its refusal by name (`NOT_FOUND`). */
  async say({ method, request, metadata }: Omit<Tapped, 'response'>): Promise<Message | string> {
    return await new Promise((resolve) => {
      this.#forward(method, request, metadata, (error, response) => {
        resolve(error ? (status[error.code] ?? String(error.code)) : (response ?? {}));
      });
    });
  }

  #forward(method: string, request: Message, metadata: Metadata, answer: Answer): void {
    const client = this.#client as unknown as Record<string, Method> | undefined;
    const call = client?.[method];
    if (call === undefined) throw new Error(`the contract has no method ${method}`);
    call.call(client, request, metadata, answer);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#client?.close();
    this.#server.forceShutdown();
  }
}
