import { Registry as MetricsRegistry } from 'prom-client';
import { BufferPool } from '../content/buffer-pool.ts';
import { DirectoryLock } from '../content/directory-lock.ts';
import { DiskStore } from '../content/disk-store.ts';
import { Hasher } from '../content/hasher.ts';
import { OciError } from '../oci/error.ts';
import { every } from '../service/every.ts';
import { listenOn } from '../service/listen.ts';
import type { Logger } from '../service/log.ts';
import { createOciServer } from '../service/oci-server.ts';
import { registryNames } from '../service/origins-file.ts';
import { requestEvents } from '../service/request-events.ts';
import { startStatusServer } from '../service/status-server.ts';
import { tlsEvents } from '../service/tls-events.ts';
import { TlsMaterial } from '../service/tls-material.ts';
import type { Address } from '../service/units.ts';
import type { Lookup } from './addresses.ts';
import { Admission } from './admission.ts';
import { AgentSource } from './agent-source.ts';
import { ClientCredentials } from './client-credentials.ts';
import type { AgentConfig } from './config.ts';
import { agentEvents } from './events.ts';
import { Fills } from './fills.ts';
import { Grants } from './grants.ts';
import { hostsEvents } from './hosts/hosts-events.ts';
import { HostsKeeper } from './hosts/hosts-keeper.ts';
import { mirrorAt } from './hosts/mirror.ts';
import { hasBegun } from './read-begun.ts';
import { Redirects } from './redirects.ts';
import { Relay } from './relay.ts';
import { Replicas } from './replicas.ts';
import { TierClient } from './tier-client.ts';
import { connectSecure } from './tier-connect.ts';
import { tierCredentials } from './tier-credentials.ts';
import { TokenFile } from './token-file.ts';

/** A running agent. Disposing it ends everything it started. */
export interface Agent extends AsyncDisposable {
  readonly mirror: Address;
  readonly status: Address;
}

/** How often the node cache makes room for other programs; kubelet looks at the disk as often. */
const KEEP_FREE_MS = 10_000;

/**
 * The composition root: what there is, and who knows whom.
 *
 * @param options.lookup resolves the shared tier's name; by default the system does
 * @throws OciError UNAVAILABLE, or what a listener says
 */
export async function startAgent(config: AgentConfig, log: Logger, options: { lookup?: Lookup } = {}): Promise<Agent> {
  await using starting = new AsyncDisposableStack();
  const metrics = new MetricsRegistry();
  const events = agentEvents(log, metrics, {
    storeBytes: () => store.usage.bytes,
    storeCapacityBytes: () => config.cacheBytes,
    replicas: (state) => tier.count(state),
  });
  if (config.insecure) log.warn('CIRC_INSECURE: the ways to containerd and to the shared tier may be without TLS');

  starting.use(DirectoryLock.take(config.cacheDirectory));
  const pool = new BufferPool();
  const store = await DiskStore.open({
    directory: config.cacheDirectory,
    capacityBytes: config.cacheBytes,
    minFree: config.minFree,
    pool,
    hasher: starting.use(new Hasher(1)),
    onEvict: events.evicted,
  });

  const storeFailed = (error: unknown): void => events.storeFailed(OciError.from(error));
  starting.use(every(KEEP_FREE_MS, () => store.keepFree(), storeFailed));

  // Who is whom: the shared tier by its certificate, we by our token or ours.
  const tls = tlsEvents(log, metrics);
  const { tierTls, mirrorTls, sharedTier, tokenFile } = config;
  const material =
    tierTls.caFile === undefined
      ? undefined
      : starting.use(new TlsMaterial(tierTls, { events: tls('agent', 'CIRC_TLS_*') }));
  const serviceName = sharedTier.host;
  const token = tokenFile === undefined ? undefined : new TokenFile(tokenFile);
  const credentials = tierCredentials({ material, serviceName, token });
  const failed = events.tierFailed;

  const tier = starting.use(
    new Replicas({
      ...options,
      tier: sharedTier,
      events: events.replicas,
      connect: (address) => new TierClient(address, { credentials, failed }),
    }),
  );
  const grants = new Grants();
  const connect = material && connectSecure({ material, serviceName, failed });
  const relay = new Relay({ tier, peerOf: (readUrl) => tier.peerOf(readUrl), pool, connect });
  const fills = starting.use(new Fills({ store, relay, failed: events.fillFailed }));
  const redirects = starting.use(new Redirects({ hasBegun, switchedOff: events.redirectsOff }));
  const source = new AgentSource({
    tier,
    store,
    grants,
    relay,
    fills,
    admission: new Admission(config.admit),
    ...(config.delivery === 'redirect' && { redirects }),
    storeFailed: events.storeFailed,
  });

  const clientCredentials = new ClientCredentials(events.credentials);
  const requests = requestEvents(log, metrics);
  const mirrorEvents = tls('mirror', 'CIRC_AGENT_TLS_*');
  const mirrorMaterial =
    mirrorTls.certFile === undefined ? undefined : starting.use(new TlsMaterial(mirrorTls, { events: mirrorEvents }));
  const app = createOciServer({
    source,
    names: registryNames(config.origins),
    tls: mirrorMaterial && { material: mirrorMaterial, handshakeFailed: mirrorEvents.handshakeFailed },
    report: (report) => {
      clientCredentials.answered(report);
      requests(report);
    },
  });
  starting.defer(() => app.close());
  const mirror = await listenOn(app, config.listen);
  let isReady = false;
  const status = starting.use(
    await startStatusServer({ listen: config.statusListen, metrics, isReady: () => isReady }),
  );

  // Last: containerd is never led to where nobody listens.
  if (config.certsDirectory !== undefined) {
    const ours = mirrorAt(mirror, mirrorTls);
    const certificate = (): Buffer => mirrorMaterial?.contents.cert ?? Buffer.alloc(0);
    const keeper = await HostsKeeper.start({
      directory: config.certsDirectory,
      mirror: ours,
      ...(mirrorMaterial && { certificate }),
      events: hostsEvents(log, metrics, ours),
    });
    starting.use(keeper);
    if (mirrorMaterial) starting.use(mirrorMaterial.onChange(() => void keeper.refresh()));
  }
  isReady = true;

  const running = starting.move();
  return { mirror, status: status.address, [Symbol.asyncDispose]: () => running[Symbol.asyncDispose]() };
}
