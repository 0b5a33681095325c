import type { IncomingMessage, ServerResponse } from 'node:http';
import { type Server, createServer } from 'node:https';
import { once } from 'node:events';
import { writeFile } from 'node:fs/promises';
import type { AddressInfo, Socket } from 'node:net';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { type Issued, TestCa } from './certificates.ts';
import { tmpDir } from './tmp-dir.ts';

/** A ServiceAccount's token, as the API knows it. */
export interface KnownToken {
  readonly user: string;
  readonly audiences: readonly string[];
}

/** What the API does instead of answering. */
export interface ApiMood {
  readonly status?: number;
  readonly delayMs?: number;
  /** An API server that knows nothing of audiences. */
  readonly ignoresAudiences?: boolean;
}

interface TokenReview {
  readonly spec: { readonly token: string; readonly audiences?: readonly string[] };
}

/** What is asked of somebody's rights. */
export interface AccessReview {
  readonly spec: {
    readonly user: string;
    readonly groups?: readonly string[];
    readonly nonResourceAttributes?: { readonly verb: string; readonly path: string };
  };
}

const REVIEWS = '/apis/authentication.k8s.io/v1/tokenreviews';
const ACCESS = '/apis/authorization.k8s.io/v1/subjectaccessreviews';

/** How an API is known: by a certificate, and the CA of that. */
export interface ApiIdentity {
  readonly caPem: string;
  readonly own: Issued;
}

/** An identity that no other API has. */
export function apiIdentity(): ApiIdentity {
  const ca = new TestCa('CA of the Kubernetes API');
  return { caPem: ca.pem, own: ca.issue({ ips: ['127.0.0.1'] }) };
}

/** Keys take a fifth of a second to make. */
const USUAL = apiIdentity();

/**
 * The part of the Kubernetes API that reviews tokens, with its ways: 201, status, errors as Status objects. See
 * https://kubernetes.io/docs/reference/kubernetes-api/authentication-resources/token-review-v1/
 */
export class TestKubernetesApi implements AsyncDisposable {
  readonly #identity: ApiIdentity;
  readonly #sockets = new Set<Socket>();
  readonly tokens = new Map<string, KnownToken>();
  /** What was asked, as it came. */
  readonly reviews: TokenReview[] = [];
  readonly credentials: (string | undefined)[] = [];
  /** `user verb path` of what is allowed. */
  readonly rights = new Set<string>();
  readonly accessReviews: AccessReview[] = [];
  mood: ApiMood = {};
  /** Connections that were made, ever. */
  connections = 0;
  readonly #server: Server;

  constructor(identity: ApiIdentity) {
    this.#identity = identity;
    this.#server = createServer(identity.own, (request, response) => void this.#answer(request, response));
  }

  async #answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const pieces: Buffer[] = [];
    for await (const piece of request) pieces.push(piece as Buffer);
    this.credentials.push(request.headers.authorization);
    const { status, delayMs } = this.mood;
    if (delayMs !== undefined) await sleep(delayMs);
    if (request.method !== 'POST' || ![REVIEWS, ACCESS].includes(request.url ?? '')) {
      send(response, 404, failure(404, 'not found'));
      return;
    }
    if (request.url === ACCESS) {
      const access = JSON.parse(Buffer.concat(pieces).toString()) as AccessReview;
      this.accessReviews.push(access);
      if (status !== undefined) send(response, status, failure(status, 'no'));
      else send(response, 201, { ...access, metadata: {}, status: { allowed: this.#isAllowed(access) } });
      return;
    }
    const review = JSON.parse(Buffer.concat(pieces).toString()) as TokenReview;
    this.reviews.push(review);
    if (status === undefined) send(response, 201, { ...review, metadata: {}, status: this.#judge(review) });
    else send(response, status, failure(status, `no ${review.spec.token}`));
  }

  #isAllowed({ spec: { user, nonResourceAttributes } }: AccessReview): boolean {
    return this.rights.has(`${user} ${nonResourceAttributes?.verb} ${nonResourceAttributes?.path}`);
  }

  #judge({ spec: { token, audiences = ['https://kubernetes.default.svc'] } }: TokenReview): object {
    const known = this.tokens.get(token);
    if (!known) return { user: {}, error: '[invalid bearer token, token has expired]' };
    const user = { username: known.user, uid: '1', groups: ['system:serviceaccounts', 'system:authenticated'] };
    if (this.mood.ignoresAudiences === true) return { authenticated: true, user };
    const common = audiences.filter((audience) => known.audiences.includes(audience));
    if (common.length > 0) return { authenticated: true, user, audiences: common };
    const told = JSON.stringify(known.audiences);
    return { user: {}, error: `[invalid bearer token, token audiences ${told} is invalid for the target audiences]` };
  }

  async up(port = 0): Promise<this> {
    this.#server.on('connection', (socket: Socket) => {
      this.connections += 1;
      this.#sockets.add(socket);
      socket.on('close', () => this.#sockets.delete(socket));
    });
    this.#server.listen(port, '127.0.0.1');
    await once(this.#server, 'listening');
    return this;
  }

  /** A kubeconfig for it, with a token as ServiceAccounts have them. */
  get kubeconfig(): string {
    const { port } = this.#server.address() as AddressInfo;
    const ca = Buffer.from(this.#identity.caPem).toString('base64');
    return JSON.stringify({
      clusters: [{ name: 'test', cluster: { server: `https://127.0.0.1:${port}`, 'certificate-authority-data': ca } }],
      users: [{ name: 'tier', user: { token: 'the-tiers-own' } }],
      contexts: [{ name: 'test', context: { cluster: 'test', user: 'tier' } }],
      'current-context': 'test',
    });
  }

  /** The kubeconfig as a file. */
  async kubeconfigFile(): Promise<{ path: string } & AsyncDisposable> {
    const directory = await tmpDir();
    const path = join(directory.path, 'kubeconfig');
    await writeFile(path, this.kubeconfig);
    return { path, [Symbol.asyncDispose]: () => directory[Symbol.asyncDispose]() };
  }

  async down(): Promise<void> {
    for (const socket of this.#sockets) socket.destroy();
    if (!this.#server.listening) return;
    this.#server.close();
    await once(this.#server, 'close');
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.down();
  }
}

/** Starts one: `await using api = await testKubernetesApi()`. */
export async function testKubernetesApi(identity = USUAL): Promise<TestKubernetesApi> {
  return await new TestKubernetesApi(identity).up();
}

function failure(code: number, message: string): object {
  return { kind: 'Status', apiVersion: 'v1', metadata: {}, status: 'Failure', message, reason: 'Test', code };
}

function send(response: ServerResponse, status: number, body: object): void {
  response.writeHead(status, { 'content-type': 'application/json' }).end(JSON.stringify(body));
}
