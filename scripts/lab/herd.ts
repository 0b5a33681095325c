import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { BlobStorage, REPOSITORY } from '../bench/storage.ts';
import type { Program } from './circ.ts';
import { Daemon } from './daemon.ts';
import { get } from './http.ts';
import type { LeaseCall } from './kube-api.ts';
import type { Metrics } from './metrics.ts';
import type { Namespace } from './network.ts';
import { type OriginOnSite, REGISTRY, Site, type SiteLeases } from './site.ts';
import { VersityGateway } from './versitygw.ts';

/** What a herd is to pull, and where. */
export interface HerdRequest {
  readonly nodes: number;
  /** Addresses of the replicas, and the port of their gRPC. */
  readonly replicas: readonly string[];
  readonly port: number;
  readonly registry: string;
  readonly repository: string;
  readonly tag: string;
}

/** What became of it. */
export interface HerdResult {
  /** One line for each node that has not got the whole image, with the right digests. */
  readonly failures: readonly string[];
  /** Of blobs, of all nodes together. */
  readonly bytes: number;
  /** Reads that broke under the client, and went on as containerd's do. */
  readonly resumed: number;
  /** Questions that got no answer, and were asked again a moment later: containerd would have gone to the origin. */
  readonly refused: number;
  /** What they were answered. */
  readonly refusals: readonly string[];
  /** Questions and reads that went on at another replica. */
  readonly failovers: number;
  /** The longest time that a node has waited for the next byte of a blob, the first one included. */
  readonly longestPauseMs: number;
  /** Of each blob of each node: from the question to the first byte. */
  readonly firstByteMs: readonly number[];
  readonly durationMs: number;
  /** Of the process that all nodes are in. */
  readonly cpuSeconds: number;
  readonly peakBytes: number;
}

export interface HerdLabOptions {
  readonly name: string;
  readonly nodes: number;
  /** How many there are, with the tags v0, v1 and so on, and nothing in common but an empty configuration. */
  readonly images: number;
  readonly layers: number;
  readonly layerBytes: number;
}

const DUPLICATES = 'circ_fetch_duplicates_total';
/** The configuration is empty: `{}`. */
const CONFIG_BYTES = 2;
const HERD = fileURLToPath(new URL('herd-nodes.ts', import.meta.url));
/** All nodes at once, on two cores that others use as well. */
const CONNECT_MS = 120_000;
const HERD_MS = 180_000;

/**
 * Replicas of the shared tier on one bucket, a Kubernetes API, an origin, and nodes:
 *
 *     origin ── hub (bucket:7070) ── kube (API:6443), tier-0, tier-1, tier-2, nodes
 */
export class HerdLab implements AsyncDisposable {
  readonly site: Site;
  readonly origin: OriginOnSite;
  readonly leases: SiteLeases;
  readonly gateway: VersityGateway;
  readonly kube: Namespace;
  /** Of an image, its manifest aside. */
  readonly imageBytes: number;
  readonly #options: HerdLabOptions;
  readonly tiers: readonly [Namespace, Namespace, Namespace];
  readonly #nodes: Namespace;
  #started = 0;
  #images = 0;

  private constructor(
    options: HerdLabOptions,
    parts: Pick<HerdLab, 'site' | 'origin' | 'leases' | 'gateway' | 'kube' | 'tiers'> & { nodes: Namespace },
  ) {
    this.#options = options;
    this.site = parts.site;
    this.origin = parts.origin;
    this.leases = parts.leases;
    this.gateway = parts.gateway;
    this.kube = parts.kube;
    this.tiers = parts.tiers;
    this.#nodes = parts.nodes;
    this.imageBytes = options.layers * options.layerBytes + CONFIG_BYTES;
  }

  static async start(options: HerdLabOptions): Promise<HerdLab> {
    const site = await Site.start(options.name);
    try {
      const { network } = site;
      const origin = await site.origin({ storage: await makeImages(site.directory, options) });
      const kube = await network.attach('kube');
      const leases = await site.leases(kube);
      const gateway = site.use(await VersityGateway.start(join(site.directory, 's3'), site.logFile('s3'), network.hub));
      const tiers = [
        await network.attach('tier-0'),
        await network.attach('tier-1'),
        await network.attach('tier-2'),
      ] as const;
      const nodes = await network.attach('nodes');
      return new HerdLab(options, { site, origin, leases, gateway, kube, tiers, nodes });
    } catch (error) {
      await site[Symbol.asyncDispose]();
      throw error;
    }
  }

  /** Replicas with nothing in their spools, on a part of the bucket that is empty. */
  async tier(env: Readonly<Record<string, string>> = {}): Promise<HerdTier> {
    const tier = new HerdTier(this, `tier-${(this.#started += 1)}`, env);
    try {
      await tier.start();
      return tier;
    } catch (error) {
      await tier[Symbol.asyncDispose]();
      throw error;
    }
  }

  /** The tag of an image that nobody has pulled yet. */
  freshImage(): string {
    if (this.#images === this.#options.images) throw new Error('there are no more images');
    return `v${this.#images++}`;
  }

  /** Lets all nodes pull an image at once; settles when they begin, with what to wait for. */
  async herd(tag: string, nodes = this.#options.nodes): Promise<{ ended: Promise<HerdResult> }> {
    const request: HerdRequest = {
      nodes,
      replicas: this.tiers.map(({ address }) => address),
      port: 5060,
      registry: REGISTRY,
      repository: REPOSITORY,
      tag,
    };
    const argv = this.#nodes.command([process.execPath, HERD, JSON.stringify(request)]);
    const daemon = await Daemon.start({ argv, logFile: this.site.logFile(`nodes-${(this.#started += 1)}`) });
    try {
      await daemon.until('connected', async () => (await daemon.log()).startsWith('connected\n'), CONNECT_MS);
    } catch (error) {
      await daemon[Symbol.asyncDispose]();
      throw error;
    }
    return { ended: resultOf(daemon) };
  }

  /** What an action costs: bytes of blobs that leave the origin, and calls of the Kubernetes API. */
  async costsOf<Result>(action: () => Promise<Result>): Promise<Costs & { result: Result }> {
    const [bytes, { length: calls }] = [await this.#bytesFromOrigin(), await this.leases.calls()];
    const result = await action();
    const made = (await this.leases.calls()).slice(calls);
    return { result, bytesFromOrigin: (await this.#bytesFromOrigin()) - bytes, calls: made };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.site[Symbol.asyncDispose]();
  }

  async #bytesFromOrigin(): Promise<number> {
    const { namespace, registry } = this.origin;
    // The log is in the order of the answers' ends, so this one comes after those that ended before.
    const mark = `/v2/?after=${process.hrtime.bigint()}`;
    await get(namespace, `http://${registry.address}${mark}`);
    await registry.daemon.until('logging', async () => (await registry.requests()).some(({ path }) => path === mark));
    return (await registry.blobReads()).reduce((sum, { bytes }) => sum + bytes, 0);
  }
}

export interface Costs {
  readonly bytesFromOrigin: number;
  readonly calls: readonly LeaseCall[];
}

/** Replicas on one part of the bucket. */
export class HerdTier implements AsyncDisposable {
  readonly #lab: HerdLab;
  readonly #name: string;
  readonly #env: Readonly<Record<string, string>>;
  readonly #programs = new Map<Namespace, Program>();
  #lives = 0;
  /** Counted by each, when it was asked last. */
  readonly #duplicates = new Map<Program, number>();

  constructor(lab: HerdLab, name: string, env: Readonly<Record<string, string>>) {
    this.#lab = lab;
    this.#name = name;
    this.#env = env;
  }

  /** Those that live. */
  get replicas(): Program[] {
    return [...this.#programs.values()].filter(({ daemon }) => daemon.running);
  }

  /** Starts those that are not there. Each life has a spool of its own, which is empty. */
  async start(more: Readonly<Record<string, string>> = {}): Promise<void> {
    const { site, gateway, leases, tiers } = this.#lab;
    for (const namespace of tiers) {
      if (this.#programs.get(namespace)?.daemon.running === true) continue;
      const name = `${this.#name}-${namespace.name}-life-${(this.#lives += 1)}`;
      const env = {
        ...gateway.env(this.#name),
        CIRC_TIER_SPOOL_DIR: join(site.directory, name),
        ...leases.env(namespace.name),
        ...this.#env,
        ...more,
      };
      this.#programs.set(namespace, await site.tier({ namespace, name, env }));
    }
  }

  /** Objects that may have been fetched more than once, as the replicas have counted them; of the dead, until lately. */
  async duplicates(): Promise<number> {
    await this.#scrape();
    return [...this.#duplicates.values()].reduce((sum, count) => sum + count, 0);
  }

  /** Sum of a metric over the replicas that live. */
  async sum(metric: string): Promise<number> {
    return (await this.#scrape()).reduce((sum, metrics) => sum + metrics.sum(metric), 0);
  }

  async #scrape(): Promise<Metrics[]> {
    return await Promise.all(
      this.replicas.map(async (replica) => {
        const metrics = await replica.metrics();
        this.#duplicates.set(replica, metrics.sum(DUPLICATES));
        return metrics;
      }),
    );
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await Promise.all([...this.#programs.values()].map((replica) => replica[Symbol.asyncDispose]()));
  }
}

async function makeImages(directory: string, { images, layers, layerBytes }: HerdLabOptions): Promise<string> {
  const storage = new BlobStorage(join(directory, 'storage'));
  for (let image = 0; image < images; image += 1) {
    const made = [];
    for (let seed = image * layers; seed < (image + 1) * layers; seed += 1) {
      made.push({ digest: await storage.add(layerBytes, seed), size: layerBytes });
    }
    await storage.image(made, `v${image}`);
  }
  return storage.registry;
}

async function resultOf(daemon: Daemon): Promise<HerdResult> {
  const late = setTimeout(() => daemon.signal('SIGKILL'), HERD_MS);
  const { code } = await daemon.ended;
  clearTimeout(late);
  const [, line] = (await daemon.log()).split('\n');
  if (code !== 0 || line === undefined) throw new Error(`the nodes ended with ${code}:\n${await daemon.logTail()}`);
  return JSON.parse(line) as HerdResult;
}
