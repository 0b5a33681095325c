import { Client, Metadata, type ServiceError, credentials, type ServerCredentials } from '@grpc/grpc-js';
import { type CallCheck, requireIdentity } from '../../../shared-tier/callers/require-identity.ts';
import type { OciError } from '../../../oci/error.ts';
import { tierOf } from '../fixtures.ts';
import { grpcServerOf } from '../grpc-fixture.ts';

/** What a call ended with: `OK`, or the name of its gRPC status. */
export interface Ended {
  readonly code: number;
  readonly details: string;
}

export interface GuardedOptions {
  readonly check: CallCheck;
  readonly credentials?: ServerCredentials;
}

/** A gRPC server that lets in whom the check lets in; behind it nothing is served, so what gets in is NOT_FOUND. */
export async function guarded(options: GuardedOptions) {
  const stack = new AsyncDisposableStack();
  const tier = stack.use(await tierOf({}));
  const refusals: [OciError, string][] = [];
  const asked: string[] = [];
  const server = stack.use(
    await grpcServerOf(tier, {
      report: (method) => asked.push(method),
      credentials: options.credentials,
      interceptors: [requireIdentity(options.check, (...refusal) => refusals.push(refusal))],
    }),
  );
  return {
    port: server.port,
    refusals,
    asked,
    [Symbol.asyncDispose]: () => stack[Symbol.asyncDispose](),
  };
}

/** Who calls, and over what. */
export interface CallerOptions {
  readonly tokens?: readonly string[];
  /** TLS: what is trusted, and the own certificate. */
  readonly tls?: { readonly ca: string; readonly cert?: string; readonly key?: string };
}

/** A client that may be used for several calls. */
export class TestCaller implements Disposable {
  readonly #client: Client;
  readonly #metadata = new Metadata();

  constructor(port: number, { tokens = [], tls }: CallerOptions = {}) {
    const channel = tls
      ? credentials.createSsl(pem(tls.ca), pem(tls.key), pem(tls.cert))
      : credentials.createInsecure();
    for (const token of tokens) this.#metadata.add('circ-agent-token', token);
    this.#client = new Client(`127.0.0.1:${port}`, channel, {
      'grpc.ssl_target_name_override': 'tier.test',
      'grpc.use_local_subchannel_pool': 1,
    });
  }

  /** A call with an empty request. */
  async ask(path: string): Promise<Ended> {
    const { promise, resolve } = Promise.withResolvers<Ended>();
    this.#client.makeUnaryRequest(path, asItIs, asItIs, Buffer.alloc(0), this.#metadata, (error: ServiceError | null) =>
      resolve({ code: error?.code ?? 0, details: error?.details ?? '' }),
    );
    return await promise;
  }

  /** What grpcurl's `list` asks. */
  async list(version: 'v1' | 'v1alpha'): Promise<Ended> {
    const { promise, resolve } = Promise.withResolvers<Ended>();
    const path = `/grpc.reflection.${version}.ServerReflection/ServerReflectionInfo`;
    const call = this.#client.makeBidiStreamRequest(path, asItIs, asItIs, this.#metadata);
    call.on('data', () => call.end());
    call.on('error', () => undefined); // the status tells
    call.on('status', ({ code, details }) => resolve({ code, details }));
    call.write(Buffer.from([0x3a, 0x01, 0x2a])); // list_services = 7: "*"
    return await promise;
  }

  [Symbol.dispose](): void {
    this.#client.close();
  }
}

export const OPEN_BLOB = '/circ.v1.SharedTier/OpenBlob';
export const RESOLVE = '/circ.v1.SharedTier/ResolveManifest';
export const HEALTH = '/grpc.health.v1.Health/Check';

function pem(text: string | undefined): Buffer | null {
  return text === undefined ? null : Buffer.from(text);
}

function asItIs(bytes: Buffer): Buffer {
  return bytes;
}
