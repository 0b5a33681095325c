import {
  type ServerInterceptor,
  type ServerUnaryCall,
  Server,
  ServerCredentials,
  type sendUnaryData,
} from '@grpc/grpc-js';
import { HealthImplementation } from 'grpc-health-check';
import { Authorization } from '../oci/authorization.ts';
import type { Descriptor } from '../oci/descriptor.ts';
import { parseDigest } from '../oci/digest.ts';
import { parseReference, parseRegistry, parseRepository } from '../oci/reference.ts';
import { OciError } from '../oci/error.ts';
import type { Grant as WireGrant } from '../proto/generated/circ/v1/Grant.ts';
import type { AdminHandlers } from '../proto/generated/circ/v1/Admin.ts';
import type { SharedTierHandlers } from '../proto/generated/circ/v1/SharedTier.ts';
import type { OpenBlobRequest__Output } from '../proto/generated/circ/v1/OpenBlobRequest.ts';
import { loadServices } from '../proto/load.ts';
import { toGrpcError } from '../proto/status.ts';
import { type Address, formatAddress } from '../service/units.ts';
import type { Images } from './images.ts';
import { listFor } from './lists.ts';
import { addReflection } from './reflection.ts';
import type { Access, Question } from './access/access.ts';
import type { Grant } from './access/grants.ts';
import type { SignedReads } from './signed-reads.ts';

/** One question was answered, or not. */
export type ReportQuestion = (
  method: string,
  durationMs: number,
  result: { readonly error: OciError | undefined; readonly fromOrigin: boolean },
) => void;

export interface GrpcServerOptions {
  readonly listen: Address;
  readonly images: Images;
  readonly access: Access;
  readonly reads: SignedReads;
  /** Called for each question. */
  readonly report: ReportQuestion;
  /** `circ.v1.Admin`, if it is served. */
  readonly admin?: AdminHandlers | undefined;
  /** Absent: no TLS. */
  readonly credentials?: ServerCredentials | undefined;
  /** What every call passes first. */
  readonly interceptors?: ServerInterceptor[];
}

/** The largest message: a manifest of 4 MiB and what goes with it. */
const MAX_MESSAGE_BYTES = 5 * 1024 * 1024;
const MAX_STREAMS = 1_000;
/** A yes that is not remembered allows the read that was asked for, which must be able to begin. */
const BEGIN_MS = 5_000;

/** `circ.v1.SharedTier`, health and reflection: proto on one side, `Images` on the other, nothing between. */
export class GrpcServer implements AsyncDisposable {
  readonly #options: GrpcServerOptions;
  readonly #server: Server;
  readonly #health = new HealthImplementation({ '': 'SERVING', 'circ.v1.SharedTier': 'SERVING' });
  #port = 0;

  private constructor(options: GrpcServerOptions) {
    this.#options = options;
    this.#server = new Server({
      'grpc.max_receive_message_length': 64 * 1024,
      'grpc.max_send_message_length': MAX_MESSAGE_BYTES,
      'grpc.max_concurrent_streams': MAX_STREAMS,
      'grpc.keepalive_time_ms': 30_000,
      'grpc.keepalive_timeout_ms': 5_000,
      interceptors: options.interceptors ?? [],
    });
  }

  static async start(options: GrpcServerOptions): Promise<GrpcServer> {
    const grpc = new GrpcServer(options);
    const server = grpc.#server;
    const { SharedTier, Admin } = loadServices();
    server.addService(SharedTier.service, grpc.#handlers());
    if (options.admin) server.addService(Admin.service, options.admin);
    grpc.#health.addToServer(server);
    addReflection(server);
    const { promise, resolve, reject } = Promise.withResolvers<number>();
    server.bindAsync(
      formatAddress(options.listen),
      options.credentials ?? ServerCredentials.createInsecure(),
      (error, port) => {
        if (error) reject(error);
        else resolve(port);
      },
    );
    grpc.#port = await promise;
    return grpc;
  }

  /** The port that is listened on. */
  get port(): number {
    return this.#port;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    // Agents that watch leave before anything of theirs breaks.
    for (const service of ['', 'circ.v1.SharedTier']) this.#health.setStatus(service, 'NOT_SERVING');
    const { promise, resolve } = Promise.withResolvers<undefined>();
    // Streams that stand open for ever (health watches) would hold an orderly end up.
    const timer = setTimeout(() => this.#server.forceShutdown(), 200);
    this.#server.tryShutdown(() => resolve(undefined));
    await promise;
    clearTimeout(timer);
  }

  #handlers(): SharedTierHandlers {
    const { images, access, reads } = this.#options;
    return {
      ResolveManifest: this.#answer('ResolveManifest', async ({ reference, accept, withContent, ...asked }) => {
        const question = { ...parseQuestion(asked), reference: parseReference(reference), accept, withContent };
        const resolved = await images.resolve(question);
        return {
          manifest: toWire(resolved.descriptor),
          ...(resolved.content && { content: Buffer.from(resolved.content) }),
          readable: resolved.readable.map(toWire),
          fromOrigin: resolved.fromOrigin,
          ...grantToWire(resolved.grant),
        };
      }),
      OpenBlob: this.#answer('OpenBlob', async ({ digest: text, statOnly, ...asked }) => {
        const question = { ...parseQuestion(asked), digest: parseDigest(text) };
        const located = await (statOnly ? images.statBlob(question) : images.locateBlob(question));
        const { sizeBytes: size, fromOrigin, isPassedThrough: passedThrough = false } = located;
        const answer = { size, fromOrigin, passedThrough, ...grantToWire(located.grant) };
        if (statOnly) return answer;
        const validForMs = located.endsAtMs > 0 ? located.endsAtMs - Date.now() : BEGIN_MS;
        const readUrl = reads.url(question.place.registry, question.digest, validForMs);
        return { ...answer, readUrl, validForMs: Math.max(0, Math.floor(validForMs)) };
      }),
      List: this.#answer('List', async ({ subject, query, ...asked }) => {
        const question = { ...parseQuestion(asked), query: new URLSearchParams(query) };
        const whose = subject === '' ? undefined : parseDigest(subject);
        const { content, next = '', filters = '' } = await listFor(access, { ...question, subject: whose });
        return { content: Buffer.from(content), next, filtersApplied: filters };
      }),
    };
  }

  #answer<Request, Response extends object>(method: string, handle: (request: Request) => Promise<Response>) {
    return (call: ServerUnaryCall<Request, Response>, callback: sendUnaryData<Response>): void => {
      const startedAtMs = performance.now();
      handle(call.request).then(
        (response) => {
          const fromOrigin = !('fromOrigin' in response) || response.fromOrigin === true;
          this.#options.report(method, performance.now() - startedAtMs, { error: undefined, fromOrigin });
          callback(null, response);
        },
        (reason: unknown) => {
          const error = OciError.from(reason);
          this.#options.report(method, performance.now() - startedAtMs, { error, fromOrigin: false });
          callback(toGrpcError(error));
        },
      );
    };
  }
}

/** An agent is not believed: everything is parsed anew. */
function parseQuestion(asked: Asked): Question {
  const { target, authorization, form, grant = NO_GRANT } = asked;
  const registry = parseRegistry(target?.registry ?? '');
  const repository = parseRepository(target?.repository ?? '', registry);
  const sent = Authorization.parse(authorization === '' ? [] : [authorization]);
  return { place: { registry, repository }, asker: { authorization: sent, form: FORMS[form] }, grant };
}

type Asked = Pick<OpenBlobRequest__Output, 'target' | 'authorization' | 'form'> &
  Partial<Pick<OpenBlobRequest__Output, 'grant'>>;

const NO_GRANT = new Uint8Array();

const FORMS = { FORM_UNSPECIFIED: 'path', FORM_NS: 'ns', FORM_PATH: 'path', FORM_DEFAULT: 'default' } as const;

function toWire({ mediaType, digest, sizeBytes }: Descriptor): { mediaType: string; digest: string; size: number } {
  return { mediaType, digest, size: sizeBytes };
}

function grantToWire(grant: Grant | undefined): { grant?: WireGrant } {
  return grant ? { grant: { token: Buffer.from(grant.token), validForMs: Math.floor(grant.validForMs) } } : {};
}
