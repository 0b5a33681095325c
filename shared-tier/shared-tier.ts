import { Registry as MetricsRegistry } from 'prom-client';
import { BufferPool } from '../content/buffer-pool.ts';
import { DiskStore } from '../content/disk-store.ts';
import { Hasher } from '../content/hasher.ts';
import type { Logger } from '../service/log.ts';
import { listenOn } from '../service/listen.ts';
import { createOciServer } from '../service/oci-server.ts';
import { registryNames } from '../service/origins-file.ts';
import { requestEvents } from '../service/request-events.ts';
import { startStatusServer } from '../service/status-server.ts';
import { type Address, formatAddress } from '../service/units.ts';
import { Access } from './access/access.ts';
import { Callers } from './access/caller.ts';
import { type GrantClaims, Grants } from './access/grants.ts';
import { Proofs } from './access/proofs.ts';
import { PublicPlaces } from './access/public-places.ts';
import type { TierConfig } from './config.ts';
import { tierEvents } from './events.ts';
import { Fetches } from './fetches.ts';
import { GrpcServer } from './grpc-server.ts';
import { Images } from './images.ts';
import { AddressGuard } from './origin/address-guard.ts';
import { OriginClients } from './origin/origin-clients.ts';
import { Origins } from './origin/origin.ts';
import { Addresses, type UploadClaims } from './push/addresses.ts';
import { LocalUploads } from './push/local-uploads.ts';
import { Pushes } from './push/pushes.ts';
import { Shelf } from './push/shelf.ts';
import { Records } from './records.ts';
import { Seal } from './seal.ts';
import { type ReadClaims, SignedReads } from './signed-reads.ts';
import { tierSource } from './tier-source.ts';

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
  const events = tierEvents(log, metrics, {
    fetchesInFlight: () => fetches.count,
    storeBytes: () => store.usage.bytes,
  });
  if (config.insecure) log.warn('CIRC_INSECURE: listeners have neither TLS nor identity');

  // What bytes are kept in.
  const pool = new BufferPool();
  const hasher = starting.use(new Hasher());
  let records: Records | undefined;
  const store = await DiskStore.open({
    directory: config.storeDirectory,
    capacityBytes: config.storeBytes,
    pool,
    hasher,
    onEvict: (digest, reason) => {
      records?.forget(digest); // without: opening the store made room already
      events.evicted(digest, reason);
    },
  });
  records = await Records.open(store.layout, async (digest) => !!(await store.stat(digest)), events.notKept);
  starting.defer(() => records.settled());

  // Where they come from.
  const clients = starting.use(
    new OriginClients({
      origins: new Origins(config.origins, config.cas),
      guard: new AddressGuard(config.origins.denyNetworks),
      proxy: config.origins.proxy,
      observe: events.origin,
      refused: events.privateAddress,
      credentialsFailed: events.credentialsFailed,
    }),
  );
  const fetches = starting.use(new Fetches({ store, records, events: events.fetch }));

  // Who may have them: proof → store → fetch.
  const publicPlaces = await PublicPlaces.open({
    layout: store.layout,
    isEnabled: config.origins.whenOriginIsDown === 'serve-public',
    failed: events.notKept,
  });
  starting.defer(() => publicPlaces.settled());
  const grants = new Grants(new Seal<GrantClaims>(config.masterKey, 'grant'));
  const proofs = new Proofs({ grants, publicPlaces, ttlMs: config.grantTtlMs, report: events.proof });
  const access = new Access({ clients, callers: new Callers(config.masterKey), grants, proofs, publicPlaces });
  const images = new Images({ access, store, records, fetches, notKept: events.notKept });

  // How they are asked for.
  const reads = new SignedReads({
    images,
    seal: new Seal<ReadClaims>(config.masterKey, 'read'),
    advertise: () => formatAddress(config.advertise ?? reachable(http)),
    report: events.read,
  });
  const names = registryNames(config.origins);
  const { notKept } = events;
  const locals = starting.use(
    // A quarter: one large blob must not drive out all others.
    new LocalUploads({ spools: store, maxBytes: Math.floor(config.storeBytes / 4), notKept }),
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
    source: tierSource(images),
    names,
    challenge: 'Basic realm="circ"',
    further: (raw, exchange) => pushes.serve(raw, exchange),
    report: requestEvents(log, metrics),
  });
  reads.register(oci);
  starting.defer(() => oci.close());
  const http = await listenOn(oci, config.httpListen);
  const grpc = starting.use(
    await GrpcServer.start({
      listen: config.grpcListen,
      images,
      reads,
      report: events.question,
    }),
  );
  const status = starting.use(await startStatusServer({ listen: config.statusListen, metrics, isReady: () => true }));

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
