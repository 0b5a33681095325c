import { hostname } from 'node:os';
import { Registry as MetricsRegistry } from 'prom-client';
import { BufferPool } from '../content/buffer-pool.ts';
import { Hasher } from '../content/hasher.ts';
import type { Logger } from '../service/log.ts';
import { listenOn } from '../service/listen.ts';
import { createOciServer } from '../service/oci-server.ts';
import { registryNames } from '../service/origins-file.ts';
import { requestEvents } from '../service/request-events.ts';
import { startStatusServer } from '../service/status-server.ts';
import { tlsEvents } from '../service/tls-events.ts';
import { TlsMaterial } from '../service/tls-material.ts';
import { type Address, formatAddress } from '../service/units.ts';
import { Access } from './access/access.ts';
import { Callers } from './access/caller.ts';
import { type GrantClaims, Grants } from './access/grants.ts';
import { Proofs } from './access/proofs.ts';
import { PublicPlaces } from './access/public-places.ts';
import { openAdmin } from './admin/open-admin.ts';
import { Popularity } from './admin/popularity.ts';
import { readTotals } from './admin/totals.ts';
import { type Reviews, adminCheck } from './callers/admin-check.ts';
import { callerCheck } from './callers/caller-check.ts';
import { ConnectedAgents } from './callers/connected-agents.ts';
import { requireIdentity } from './callers/require-identity.ts';
import type { TierConfig } from './config.ts';
import { tierEvents } from './events.ts';
import { Fetches } from './fetches.ts';
import { FollowingServerCredentials } from './grpc-credentials.ts';
import { GrpcServer } from './grpc-server.ts';
import { Images } from './images.ts';
import type { KubernetesApi } from './kubernetes/api.ts';
import { openLeases } from './leases/open-leases.ts';
import { Once } from './once.ts';
import { AddressGuard } from './origin/address-guard.ts';
import { OriginClients } from './origin/origin-clients.ts';
import { Origins } from './origin/origin.ts';
import { Addresses, type UploadClaims } from './push/addresses.ts';
import { LocalUploads } from './push/local-uploads.ts';
import { Pushes } from './push/pushes.ts';
import { Shelf } from './push/shelf.ts';
import { Replicas } from './replicas.ts';
import { Seal } from './seal.ts';
import { type ReadClaims, SignedReads } from './signed-reads.ts';
import { History } from './status/history.ts';
import { SeenReplicas, pageSources } from './status/open-page.ts';
import { servePage } from './status/serve-page.ts';
import { openStore } from './store/choose-store.ts';
import { tierSource } from './tier-source.ts';
import type { TurnsEvents } from './turns.ts';

/** A running shared tier. Disposing it ends everything it started. */
export interface SharedTier extends AsyncDisposable {
  readonly grpc: Address;
  readonly http: Address;
  readonly status: Address;
}

/** The composition root: what there is, and who knows whom. @throws OciError UNAVAILABLE, or what a listener says */
export async function startSharedTier(config: TierConfig, log: Logger): Promise<SharedTier> {
  await using starting = new AsyncDisposableStack();
  const metrics = new MetricsRegistry();
  const origins = new Origins(config.origins, config.cas);
  const events = tierEvents(log, metrics, {
    origins: origins.labels,
    fetchesInFlight: () => fetches.count,
    fetchWaiters: () => fetches.waiters,
    storeBytes: () => kept.usage().bytes,
    storeCapacityBytes: () => config.store.capacityBytes,
    agents: () => agents.count,
  });
  if (config.insecure) {
    const has = { tls: config.tls.certFile !== undefined, clients: config.clients.kind };
    log.warn(has, 'CIRC_INSECURE: listeners may be reached without TLS or identity');
  }

  // What bytes are kept in.
  const kept = starting.use(
    await openStore(config.store, {
      pool: new BufferPool(),
      hasher: starting.use(new Hasher()),
      urlLifeMs: config.grantTtlMs,
      evicted: events.evicted,
      failed: events.notKept,
    }),
  );
  const { store, records, publicRecords, spoolBytes } = kept;

  // Who may ask, and over what.
  const certificate = tlsEvents(log, metrics)('shared-tier', 'CIRC_TLS_CERT_FILE, CIRC_TLS_KEY_FILE, CIRC_TLS_CA_FILE');
  const material =
    config.tls.certFile === undefined ? undefined : starting.use(new TlsMaterial(config.tls, { events: certificate }));
  const openKubernetes = async (): Promise<KubernetesApi> => {
    // The Kubernetes client costs half a second and 60 MB: only where there is a cluster.
    const { KubernetesApi } = await import('./kubernetes/api.ts');
    return starting.use(KubernetesApi.fromDefault());
  };
  // One set of connections for identities and leases.
  let kubernetesApi: Promise<KubernetesApi> | undefined;
  const kubernetes = (): Promise<KubernetesApi> => (kubernetesApi ??= openKubernetes());
  const openReviews = async (audience: string): Promise<Reviews> => {
    const { TokenReviews } = await import('./kubernetes/token-reviews.ts');
    const { AccessReviews } = await import('./kubernetes/access-reviews.ts');
    const api = await kubernetes();
    return { tokens: new TokenReviews({ api, audience }), access: new AccessReviews(api) };
  };
  let openedReviews: Promise<Reviews> | undefined;
  const reviews = (audience: string): Promise<Reviews> => (openedReviews ??= openReviews(audience));
  const agentCheck = await callerCheck(config.clients, async (audience) => (await reviews(audience)).tokens);
  const check = await adminCheck(config.clients, agentCheck, reviews);
  const agents = new ConnectedAgents();

  // Where they come from.
  const clients = starting.use(
    new OriginClients({
      origins,
      guard: new AddressGuard(config.origins.denyNetworks),
      proxy: config.origins.proxy,
      observe: events.origin,
      unlisted: events.unlisted,
      credentialsFailed: events.credentialsFailed,
    }),
  );
  const advertise = (): string => formatAddress(config.advertise ?? reachable(http));
  const readSeal = new Seal<ReadClaims>(config.masterKey, 'read');
  const leases = starting.use(
    await openLeases(config.leases, {
      address: advertise,
      storeId: kept.id,
      kubernetes,
      events: events.leases,
      report: events.leaseOperation,
    }),
  );
  const replicas = starting.use(new Replicas({ seal: readSeal, material }));
  const seen = new SeenReplicas();
  const followed: TurnsEvents['followed'] = (place, holder) => {
    seen.saw(holder);
    events.once.followed(place, holder);
  };
  const once = new Once({ leases, replicas, events: { ...events.once, followed } });
  const fetches = starting.use(new Fetches({ store, records, once, events: events.fetch }));

  // Who may have them: proof → store → fetch.
  const isPublicServed = config.origins.whenOriginIsDown === 'serve-public';
  const publicPlaces = new PublicPlaces({ records: publicRecords, isEnabled: isPublicServed });
  starting.defer(() => publicPlaces.settled());
  const grants = new Grants(new Seal<GrantClaims>(config.masterKey, 'grant'));
  const proofs = new Proofs({ grants, publicPlaces, ttlMs: config.grantTtlMs, report: events.proof });
  const access = new Access({ clients, callers: new Callers(config.masterKey), grants, proofs, publicPlaces });
  const popularity = new Popularity();
  const pulled = popularity.pulled.bind(popularity);
  const images = new Images({ access, store, records, fetches, once, notKept: events.notKept, pulled });

  // How they are asked for.
  const reads = new SignedReads({
    images,
    seal: readSeal,
    advertise,
    scheme: material ? 'https' : 'http',
    presign: async ({ registry }, digest, validForMs) =>
      (await records.hasFrom(registry, digest)) ? await store.presign?.(digest, validForMs) : undefined,
    events: events.read,
  });
  const names = registryNames(config.origins);
  const { notKept } = events;
  const locals = starting.use(
    // A quarter: one large blob must not drive out all others.
    new LocalUploads({ spools: store, maxBytes: Math.floor(spoolBytes / 4), notKept }),
  );
  const pushes = new Pushes({
    names,
    access,
    addresses: new Addresses(new Seal<UploadClaims>(config.masterKey, 'upload'), config.publicUrl),
    locals,
    shelf: new Shelf({ store, records, images, access, notKept }),
    pushed: events.pushed,
  });
  const oci = createOciServer({
    source: tierSource(images, access),
    names,
    publicUrl: config.publicUrl,
    challenge: 'Basic realm="circ"',
    further: (raw, exchange) => pushes.serve(raw, exchange),
    tls: material && { material, handshakeFailed: certificate.handshakeFailed },
    report: requestEvents(log, metrics),
  });
  reads.register(oci);
  starting.defer(() => oci.close());
  const http = await listenOn(oci, config.httpListen);
  const admin = openAdmin({
    kept,
    access,
    images,
    fetches,
    popularity,
    agents,
    names,
    metrics,
    capacityBytes: config.store.capacityBytes,
    storeKind: config.store.kind,
    replica: config.leases.kind === 'kubernetes' ? config.leases.podName : hostname(),
    report: events.admin,
  });
  const grpc = starting.use(
    await GrpcServer.start({
      listen: config.grpcListen,
      images,
      access,
      reads,
      report: events.question,
      admin: admin.service.handlers,
      credentials:
        material &&
        starting.use(new FollowingServerCredentials(material, { asksForCertificate: config.clients.kind === 'mtls' })),
      interceptors: [agents.interceptor, requireIdentity(check, events.callerRefused)],
    }),
  );
  leases.startSweeping();
  const history = starting.use(new History({ totals: () => readTotals(metrics) }));
  const status = starting.use(
    await startStatusServer({
      listen: config.statusListen,
      metrics,
      isReady: () => !leases.hasMetForeignStore,
      extend: (app) => servePage(app, pageSources({ admin, history, fetches, popularity, agents, replicas: seen })),
    }),
  );

  kept.startCollecting(async () => {
    const turn = await leases.acquire('collector');
    return turn.kind === 'acquired' ? turn.lease : undefined;
  });

  const running = starting.move();
  return {
    http,
    grpc: { host: config.grpcListen.host, port: grpc.port },
    status: status.address,
    [Symbol.asyncDispose]: () => running[Symbol.asyncDispose](),
  };
}

/** Without an advertised address only this machine can be meant. */
function reachable({ host, port }: Address): Address {
  return { host: ['0.0.0.0', '::'].includes(host) ? '127.0.0.1' : host, port };
}
