import { type Server, type Socket, createServer } from 'node:net';
import type { AddressInfo } from 'node:net';
import { type ServerResponse, type IncomingMessage, createServer as createHttpServer } from 'node:http';
import { BufferPool } from '../../content/buffer-pool.ts';
import { DiskStore } from '../../content/disk-store.ts';
import { Hasher } from '../../content/hasher.ts';
import type { Content } from '../../content/store.ts';
import type { Digest } from '../../oci/digest.ts';
import { OciError } from '../../oci/error.ts';
import { type Reference, type Registry, type Repository, parseReference, parseRegistry } from '../../oci/reference.ts';
import { parseOriginsFile } from '../../service/origins-file.ts';
import { Access } from '../../shared-tier/access/access.ts';
import { Callers } from '../../shared-tier/access/caller.ts';
import { Grants } from '../../shared-tier/access/grants.ts';
import { Proofs } from '../../shared-tier/access/proofs.ts';
import { PublicFiles } from '../../shared-tier/access/public-files.ts';
import { PublicPlaces } from '../../shared-tier/access/public-places.ts';
import { Fetches } from '../../shared-tier/fetches.ts';
import { Images } from '../../shared-tier/images.ts';
import type { Holder, LeaseApi } from '../../shared-tier/leases/lease-api.ts';
import { Leases } from '../../shared-tier/leases/leases.ts';
import { MemoryLeaseApi } from '../../shared-tier/leases/memory-lease-api.ts';
import { Once } from '../../shared-tier/once.ts';
import { ANONYMOUS, type Credential } from '../../shared-tier/origin/credential.ts';
import { AddressGuard } from '../../shared-tier/origin/address-guard.ts';
import { OriginClients } from '../../shared-tier/origin/origin-clients.ts';
import { Origins, type Unlisted } from '../../shared-tier/origin/origin.ts';
import { FileRecords, type Place } from '../../shared-tier/records.ts';
import { Replicas } from '../../shared-tier/replicas.ts';
import type { Rights } from '../../shared-tier/right.ts';
import { Seal } from '../../shared-tier/seal.ts';
import type { DuplicateReason } from '../../shared-tier/turns.ts';
import { tmpDir } from '../support/tmp-dir.ts';

export const MIB = 1024 * 1024;

/** The name under which tests know their (first) origin. */
export const REGISTRY = parseRegistry('registry.test');
export const APP = 'org/app' as Repository;

export function placeOf(repository: string = APP, registry: Registry = REGISTRY): Place {
  return { registry, repository: repository as Repository };
}

/** What somebody has to fetch with. */
export function rightsAt(place: Place, credential: Credential = ANONYMOUS): Rights {
  return [{ place, credential }];
}

export function refOf(text: string): Reference {
  return parseReference(text);
}

/** A signal that is never aborted. */
export const forever = new AbortController().signal;

/** An answer of an origin to one request. */
export interface Observed {
  readonly registry: string;
  readonly kind: string;
  readonly method: string;
  readonly status: number;
  readonly host: string;
  readonly error?: unknown;
}

export interface ClientsOptions {
  /** Further keys of the registry's entry in the origins file. */
  readonly entry?: Record<string, unknown>;
  /** Further keys of the origins file. */
  readonly file?: Record<string, unknown>;
  readonly silenceMs?: number;
  readonly patienceMs?: number;
}

/** Clients of the registries, each at the URL of its origin, as the origins file has it. */
export function clientsOf(registries: Record<string, { url: string }>, options: ClientsOptions = {}) {
  const { entry = {}, file = {}, ...more } = options;
  const listed = Object.entries(registries).map(([name, { url }]) => [name, { endpoint: url, ...entry }]);
  const parsed = parseOriginsFile(JSON.stringify({ registries: Object.fromEntries(listed), ...file }));
  const observed: Observed[] = [];
  const unlisted: Unlisted[] = [];
  const credentialsFailed: unknown[] = [];
  const clients = new OriginClients({
    origins: new Origins(parsed),
    guard: new AddressGuard(parsed.denyNetworks),
    proxy: parsed.proxy,
    observe: ({ origin, ...event }) => observed.push({ registry: origin.registry, ...event }),
    unlisted: (_registry, what) => unlisted.push(what),
    credentialsFailed: (_registry, error) => credentialsFailed.push(error),
    ...more,
  });
  return {
    clients,
    /** The client of the registry `registry.test`, or another one. */
    client: (registry: Registry = REGISTRY) => clients.get(registry),
    registry: (registry: Registry = REGISTRY) => clients.get(registry).registry,
    observed,
    unlisted,
    credentialsFailed,
    [Symbol.asyncDispose]: () => clients[Symbol.asyncDispose](),
  };
}

export interface TierOptions extends ClientsOptions {
  /** The master key: replicas have the same one. */
  readonly key?: Buffer;
  readonly isPublicServed?: boolean;
  readonly ttlMs?: number;
  readonly lingerMs?: number;
  readonly parkMs?: number;
  readonly quarantineMs?: number;
  readonly capacityBytes?: number;
  /** Leases that it shares with others; in its own memory unless given. */
  readonly leases?: { readonly api: LeaseApi; readonly holder: () => Holder; readonly durationMs: number };
}

/** The master key of all tiers in tests. */
export const MASTER_KEY = Buffer.alloc(32, 1);
const ALONE = () => ({
  api: new MemoryLeaseApi(),
  holder: () => ({ identity: 'alone', address: '', storeId: 'store' }),
  durationMs: 15_000,
});

const hasher = new Hasher(1); // threads are slow to start, and hold nothing between two tests

/** What a shared tier is made of, without its servers. */
export async function tierOf(registries: Record<string, { url: string }>, options: TierOptions = {}) {
  const { ttlMs = 60_000, lingerMs, parkMs, quarantineMs, capacityBytes = 512 * MIB, ...more } = options;
  const { key = MASTER_KEY, isPublicServed = true, leases: shared = ALONE(), ...clientsOptions } = more;
  const stack = new AsyncDisposableStack();
  const directory = stack.use(await tmpDir());
  const origins = stack.use(clientsOf(registries, clientsOptions));
  const ended: { digest: Digest; error: OciError | undefined }[] = [];
  const received = { bytes: 0 };
  const notKept: unknown[] = [];
  const store = await DiskStore.open({
    directory: directory.path,
    capacityBytes,
    pool: new BufferPool(),
    hasher,
    onEvict: (digest) => records.forget(digest),
  });
  const records = await FileRecords.open(
    store.layout,
    async (digest) => (await store.stat(digest)) !== undefined,
    (error) => notKept.push(error),
  );
  stack.defer(() => records.settled());
  const duplicates: DuplicateReason[] = [];
  const followed: string[] = [];
  const leases = stack.use(
    new Leases({
      ...shared,
      events: { foreignStore: () => undefined, swept: () => undefined, failed: () => undefined },
    }),
  );
  const once = new Once({
    leases,
    replicas: stack.use(new Replicas({ seal: new Seal(key, 'read') })),
    events: {
      duplicated: (_place, reason) => duplicates.push(reason),
      followed: (_place, { identity }) => followed.push(identity),
    },
  });
  const fetches = stack.use(
    new Fetches({
      store,
      records,
      once,
      events: {
        received: (_client, bytes) => (received.bytes += bytes),
        ended: (_place, digest, error) => ended.push({ digest, error }),
        notKept: (_place, _digest, error) => notKept.push(error),
      },
      ...(lingerMs !== undefined && { lingerMs }),
      ...(parkMs !== undefined && { parkMs }),
      ...(quarantineMs !== undefined && { quarantineMs }),
    }),
  );
  const publicPlaces = new PublicPlaces({
    records: await PublicFiles.open(store.layout, (error) => notKept.push(error)),
    isEnabled: isPublicServed,
  });
  stack.defer(() => publicPlaces.settled());
  const grants = new Grants(new Seal(key, 'grant'));
  const proved: string[] = [];
  const proofs = new Proofs({ grants, publicPlaces, ttlMs, report: (result) => proved.push(result) });
  const access = new Access({ ...origins, callers: new Callers(key), grants, proofs, publicPlaces });
  const images = new Images({ access, store, records, fetches, once, notKept: (error) => notKept.push(error) });
  return {
    ...origins,
    directory: directory.path,
    store,
    records,
    fetches,
    once,
    publicPlaces,
    grants,
    proofs,
    proved,
    access,
    images,
    ended,
    received,
    duplicates,
    followed,
    leases,
    notKept,
    [Symbol.asyncDispose]: () => stack[Symbol.asyncDispose](),
  };
}

/** All bytes of what can be read. */
export async function bytesOf(content: Content | undefined, start = 0, end?: number): Promise<Buffer> {
  if (!content) throw new Error('there is no such content');
  const pieces: Buffer[] = [];
  for await (const { bytes, release } of content.chunks(
    { start, end: end ?? content.sizeBytes },
    { signal: forever },
  )) {
    pieces.push(Buffer.from(bytes));
    release();
  }
  return Buffer.concat(pieces);
}

/** What was thrown, as an OciError; throws itself when nothing was. */
export async function failureOf(promise: Promise<unknown>): Promise<OciError> {
  const error = await promise.then(
    () => undefined,
    (reason: unknown) => reason,
  );
  if (error === undefined) throw new Error('it did not fail');
  return OciError.from(error);
}

/** A server that nobody may connect to: it counts who does. */
export interface Canary extends AsyncDisposable {
  readonly port: number;
  readonly connections: number;
}

export async function canary(): Promise<Canary> {
  let connections = 0;
  const server = createServer((socket) => {
    connections += 1;
    socket.destroy();
  });
  await listen(server);
  return {
    port: portOf(server),
    get connections() {
      return connections;
    },
    [Symbol.asyncDispose]: () => close(server),
  };
}

/** An HTTP server that answers what a test wants, for answers that no registry gives. */
export async function httpServer(answer: (request: IncomingMessage, response: ServerResponse) => void) {
  const sockets = new Set<Socket>();
  const requests: { method: string; url: string; range: string | undefined }[] = [];
  const server = createHttpServer((request, response) => {
    requests.push({ method: request.method ?? '', url: request.url ?? '', range: request.headers.range });
    answer(request, response);
  });
  server.on('connection', (socket) => {
    sockets.add(socket);
    socket.on('close', () => sockets.delete(socket));
  });
  await listen(server);
  return {
    url: `http://127.0.0.1:${portOf(server)}`,
    host: `127.0.0.1:${portOf(server)}`,
    requests,
    [Symbol.asyncDispose]: async () => {
      for (const socket of sockets) socket.destroy();
      await close(server);
    },
  };
}

async function listen(server: Server): Promise<void> {
  const { promise, resolve } = Promise.withResolvers<undefined>();
  server.listen(0, '127.0.0.1', () => resolve(undefined));
  await promise;
}

function portOf(server: Server): number {
  return (server.address() as AddressInfo).port;
}

async function close(server: Server): Promise<void> {
  const { promise, resolve } = Promise.withResolvers<undefined>();
  server.close(() => resolve(undefined));
  await promise;
}
