import { randomUUID } from 'node:crypto';
import { type IncomingMessage, type ServerResponse, createServer } from 'node:http';
import type { AddressInfo, Socket } from 'node:net';
import { text } from 'node:stream/consumers';
import { setTimeout as delay } from 'node:timers/promises';
import { KubernetesApi } from '../../shared-tier/kubernetes/api.ts';

/** A Lease as it goes over the wire. */
export interface WireLease {
  readonly metadata: {
    readonly name: string;
    readonly uid: string;
    readonly resourceVersion: string;
    readonly labels?: Record<string, string>;
    readonly annotations?: Record<string, string>;
  };
  readonly spec: Record<string, unknown>;
}

export type Verb = 'create' | 'get' | 'update' | 'delete' | 'list';

/** How the API behaves to the requests that it applies to. */
export interface Mood {
  /** All verbs unless given. */
  readonly verb?: Verb;
  readonly delayMs?: number;
  /** Answers this instead of doing anything. */
  readonly status?: number;
  /** Does what is asked and closes the connection instead of saying so. */
  readonly losesAnswer?: boolean;
}

const PATH = '/apis/coordination.k8s.io/v1/namespaces/circ-system/leases';

/**
 * The Lease part of a Kubernetes API: names are unique, nothing is written over another version than the one that was
 * read, a deletion's preconditions hold. It answers as a kube-apiserver does, or as badly as a test wants.
 */
export class TestLeaseApi implements AsyncDisposable {
  readonly namespace = 'circ-system';
  mood: Mood = {};
  /** What was asked, in order, with the status that was answered; 0 for none. */
  readonly requests: { readonly verb: Verb; readonly name: string | undefined; readonly status: number }[] = [];
  readonly #leases = new Map<string, WireLease>();
  readonly #sockets = new Set<Socket>();
  readonly #server = createServer((request, response) => void this.#answer(request, response));
  #writes = 1000;
  #port = 0;
  #connections = 0;

  constructor() {
    this.#server.on('connection', (socket) => {
      this.#connections += 1;
      this.#sockets.add(socket.on('close', () => this.#sockets.delete(socket)));
    });
  }

  get leases(): readonly WireLease[] {
    return [...this.#leases.values()];
  }

  /** Connections that were opened so far. */
  get connections(): number {
    return this.#connections;
  }

  /** How often a verb was asked for. */
  count(...verbs: readonly Verb[]): number {
    return this.requests.filter(({ verb }) => verbs.includes(verb)).length;
  }

  /** Puts a lease there, as if somebody else had written it. */
  put(
    name: string,
    { metadata = {}, spec }: { metadata?: Partial<WireLease['metadata']>; spec: WireLease['spec'] },
  ): void {
    this.#write({ metadata: { ...metadata, name, uid: randomUUID(), resourceVersion: '' }, spec });
  }

  /** Connections are refused until `up`. */
  async down(): Promise<void> {
    for (const socket of this.#sockets) socket.destroy();
    await new Promise((resolve) => this.#server.close(resolve));
  }

  /** At the same port as before, with all it had. */
  async up(): Promise<this> {
    await new Promise<void>((resolve) => this.#server.listen(this.#port, '127.0.0.1', resolve));
    this.#port = (this.#server.address() as AddressInfo).port;
    return this;
  }

  /** A client of this API, as a program in the cluster has one. */
  client(options: { answerMs?: number } = {}): KubernetesApi {
    const api = new KubernetesApi(options);
    const server = `http://127.0.0.1:${this.#port}`;
    api.loadFromClusterAndUser({ name: 'test', server, skipTLSVerify: true }, { name: 'test', token: 'test' });
    return api;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (this.#server.listening) await this.down();
  }

  async #answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const url = new URL(request.url ?? '', 'http://test');
    const name = url.pathname.startsWith(`${PATH}/`) ? url.pathname.slice(PATH.length + 1) : undefined;
    const verb = verbOf(request.method, name);
    const body = await text(request).catch(() => '');
    const { verb: only = verb, delayMs = 0, status: refusal, losesAnswer = false } = this.mood;
    const isConcerned = only === verb;
    if (isConcerned && delayMs > 0) await delay(delayMs, undefined, { ref: false });
    const { status, answer } =
      isConcerned && refusal !== undefined
        ? { status: refusal, answer: { kind: 'Status', code: refusal } }
        : this.#do(verb, name, url, body === '' ? {} : (JSON.parse(body) as Partial<WireLease>));
    const isLost = isConcerned && losesAnswer;
    this.requests.push({ verb, name, status: isLost ? 0 : status });
    if (isLost) {
      request.socket.destroy();
      return;
    }
    const retry: Record<string, string> = status === 429 ? { 'retry-after': '1' } : {};
    response.writeHead(status, { 'content-type': 'application/json', ...retry }).end(JSON.stringify(answer));
  }

  #do(verb: Verb, name: string | undefined, url: URL, body: Partial<WireLease>): { status: number; answer: object } {
    if (!url.pathname.startsWith(PATH)) return failure(404);
    if (verb === 'list') return { status: 200, answer: { kind: 'LeaseList', items: this.#selected(url) } };
    const found = this.#leases.get(name ?? body.metadata?.name ?? '');
    if (verb === 'create') {
      if (found || !body.metadata || !body.spec) return failure(found ? 409 : 422);
      const { metadata, spec } = body;
      return { status: 201, answer: this.#write({ metadata: { ...metadata, uid: randomUUID() }, spec }) };
    }
    if (!found) return failure(404);
    if (verb === 'get') return { status: 200, answer: found };
    const { resourceVersion, uid } = verb === 'update' ? (body.metadata ?? {}) : preconditionsOf(body);
    const isStale = resourceVersion !== undefined && resourceVersion !== found.metadata.resourceVersion;
    if (isStale || (uid !== undefined && uid !== found.metadata.uid)) return failure(409);
    if (verb === 'delete') {
      this.#leases.delete(found.metadata.name);
      return { status: 200, answer: { kind: 'Status', status: 'Success' } };
    }
    const metadata = { ...found.metadata, ...body.metadata, uid: found.metadata.uid };
    return { status: 200, answer: this.#write({ metadata, spec: body.spec ?? {} }) };
  }

  #selected(url: URL): WireLease[] {
    const selector = (url.searchParams.get('labelSelector') ?? '').split(',').filter((each) => each !== '');
    return this.leases.filter(({ metadata }) =>
      selector.every((each) => {
        const [key = '', value] = each.split('=');
        return metadata.labels?.[key] === value;
      }),
    );
  }

  #write({ metadata, spec }: Pick<WireLease, 'metadata' | 'spec'>): WireLease {
    this.#writes += 1;
    const lease = { metadata: { ...metadata, resourceVersion: String(this.#writes) }, spec };
    this.#leases.set(metadata.name, lease);
    return lease;
  }
}

/** Starts one: `await using api = await startLeaseApi()`. */
export async function startLeaseApi(): Promise<TestLeaseApi> {
  return await new TestLeaseApi().up();
}

function verbOf(method: string | undefined, name: string | undefined): Verb {
  if (method === 'POST') return 'create';
  if (method === 'PUT') return 'update';
  if (method === 'DELETE') return 'delete';
  return name === undefined ? 'list' : 'get';
}

function preconditionsOf(body: object): { resourceVersion?: string; uid?: string } {
  return (body as { preconditions?: { resourceVersion?: string; uid?: string } }).preconditions ?? {};
}

function failure(code: number): { status: number; answer: object } {
  return { status: code, answer: { kind: 'Status', status: 'Failure', code } };
}
