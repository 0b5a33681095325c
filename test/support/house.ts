import { readdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { pino } from 'pino';
import { type Agent, startAgent } from '../../agent/agent.ts';
import { readAgentConfig } from '../../agent/config.ts';
import { type Address, formatAddress } from '../../service/units.ts';
import { readTierConfig } from '../../shared-tier/config.ts';
import { type SharedTier, startSharedTier } from '../../shared-tier/shared-tier.ts';
import { type Download, type DownloadOptions, type Pulled, download, pull, urlOf } from './house-client.ts';
import { type Scrape, scrape } from './house-metrics.ts';
import { type Origin, type OriginOptions, startOrigin } from './origin.ts';
import { tmpDir } from './tmp-dir.ts';

type Env = Record<string, string>;

export interface HouseOptions {
  readonly origin?: OriginOptions;
  /** Further variables of the programs, or other values. */
  readonly agent?: Env;
  readonly tier?: Env;
  /** Further registries, by the name that clients use. */
  readonly registries?: Record<string, ListedServer>;
  /** Further keys of the origins file. */
  readonly origins?: Readonly<Record<string, unknown>>;
  /** Puts something between agent and tier: given where the tier's gRPC is, tells where the agent is to look for it. */
  readonly between?: (tier: Address) => Promise<Address>;
}

/** A server, and what else the origins file is to say of it. */
export interface ListedServer {
  /** Empty: none is written down, and the name says where it is. */
  readonly url: string;
  readonly entry?: Readonly<Record<string, unknown>>;
}

/** The name under which clients of a house know its origin. */
export const REGISTRY = 'registry.test';
const ANYWHERE = '127.0.0.1:0';

/** Origin, shared tier and agent in one process, each part of which can be stopped and started again. */
export class House implements AsyncDisposable {
  readonly origin: Origin;
  readonly agentDirectory: string;
  readonly tierDirectory: string;
  /** What was logged, one object a line. */
  readonly log: Record<string, unknown>[] = [];
  readonly #agentEnv: Env;
  readonly #tierEnv: Env;
  readonly #remove: () => PromiseLike<void>;
  readonly #between: (tier: Address) => Promise<Address>;
  #agent: Agent | undefined;
  #tier: SharedTier | undefined;
  #mirror = '';
  #addresses: { grpc: Address; http: Address } | undefined;

  constructor(origin: Origin, directory: string, remove: () => PromiseLike<void>, options: HouseOptions) {
    const { agent, tier, between = async (address) => address } = options;
    this.origin = origin;
    this.#between = between;
    this.#remove = remove;
    this.agentDirectory = join(directory, 'agent');
    this.tierDirectory = join(directory, 'tier');
    const common = { CIRC_ORIGINS: join(directory, 'origins.yaml') };
    this.#agentEnv = {
      ...common,
      CIRC_AGENT_LISTEN: ANYWHERE,
      CIRC_AGENT_STATUS_LISTEN: ANYWHERE,
      CIRC_AGENT_CACHE_DIR: this.agentDirectory,
      // How full the machine's disk is must not decide a test.
      CIRC_AGENT_MIN_FREE: '0%',
      ...agent,
    };
    this.#tierEnv = {
      ...common,
      CIRC_TIER_GRPC_LISTEN: ANYWHERE,
      CIRC_TIER_HTTP_LISTEN: ANYWHERE,
      CIRC_TIER_STATUS_LISTEN: ANYWHERE,
      CIRC_TIER_LEASES: 'memory',
      CIRC_TIER_STORE: `file://${this.tierDirectory}`,
      ...tier,
    };
  }

  /** `http://host:port` of the agent's mirror endpoint, or `https://`. */
  get mirror(): string {
    return this.#mirror;
  }

  /** `http://host:port` of the tier's OCI endpoint. */
  get tierUrl(): string {
    return `http://${formatAddress(started(this.#tier).http)}`;
  }

  /** Where agents ask the tier. */
  get tierGrpc(): Address {
    return started(this.#addresses).grpc;
  }

  get agent(): Agent {
    return started(this.#agent);
  }

  async startTier(): Promise<void> {
    const config = readTierConfig(this.#tierEnv);
    const { grpc, http } = this.#addresses ?? {};
    this.#tier = await startSharedTier(
      { ...config, ...(grpc && { grpcListen: grpc }), ...(http && { httpListen: http }) },
      this.#logger('tier'),
    );
    this.#addresses = this.#tier;
  }

  async startAgent(): Promise<void> {
    const config = readAgentConfig(this.#agentEnv);
    const { port } = this.tierGrpc;
    const sharedTier = await this.#between({ host: config.sharedTier.host, port });
    this.#agent = await startAgent({ ...config, sharedTier }, this.#logger('agent'));
    const scheme = config.mirrorTls.certFile === undefined ? 'http' : 'https';
    this.#mirror = `${scheme}://${formatAddress(this.#agent.mirror)}`;
  }

  async stopTier(): Promise<void> {
    await this.#tier?.[Symbol.asyncDispose]();
    this.#tier = undefined;
  }

  async stopAgent(): Promise<void> {
    await this.#agent?.[Symbol.asyncDispose]();
    this.#agent = undefined;
  }

  /** The tier's next life, at the same addresses. */
  async restartTier(): Promise<void> {
    await this.stopTier();
    await this.startTier();
  }

  /** The agent's next life, at another address. */
  async restartAgent(): Promise<void> {
    await this.stopAgent();
    await this.startAgent();
  }

  /** Pulls an image through the agent. @throws unless every byte is right */
  async pull(repository: string, reference: string, more: { chunkBytes?: number } = {}): Promise<Pulled> {
    return await pull({ mirror: this.mirror, registry: REGISTRY, repository, reference, ...more });
  }

  /** GET of a blob through the agent. */
  async blob(repository: string, digest: string, options?: DownloadOptions): Promise<Download> {
    return await download(this.url('blobs', repository, digest), options);
  }

  url(kind: 'manifests' | 'blobs', repository: string, reference: string): string {
    return urlOf({ mirror: this.mirror, registry: REGISTRY, repository }, kind, reference);
  }

  /** `http://host:port` of the status listeners of agent and tier. */
  get statusUrls(): readonly string[] {
    return [started(this.#agent).status, started(this.#tier).status].map(
      (address) => `http://${formatAddress(address)}`,
    );
  }

  async agentMetrics(): Promise<Scrape> {
    return await scrape(formatAddress(started(this.#agent).status));
  }

  /** Requests for blobs that the agent has answered: counted when the answer is out, which its client may know before. */
  async answered(outcome: string): Promise<number> {
    return (await this.agentMetrics()).sum('circ_requests_total', { kind: 'blob', outcome });
  }

  async tierMetrics(): Promise<Scrape> {
    return await scrape(formatAddress(started(this.#tier).status));
  }

  /** Digests of what the agent, or the tier, has as content. */
  async stored(part: 'agent' | 'tier'): Promise<string[]> {
    const blobs = join(part === 'agent' ? this.agentDirectory : this.tierDirectory, 'v1/blobs');
    const entries = await readdir(blobs, { recursive: true, withFileTypes: true });
    return entries
      .filter((entry) => entry.isFile())
      .map(
        ({ parentPath, name }) =>
          `${parentPath
            .slice(blobs.length + 1)
            .split('/', 1)
            .join()}:${name}`,
      );
  }

  /** How many files of content on its way there are in both caches. */
  async ingests(): Promise<number> {
    const lists = await Promise.all(
      [this.agentDirectory, this.tierDirectory].map((directory) => readdir(join(directory, 'v1/ingest'))),
    );
    return lists.flat().length;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.stopAgent();
    await this.stopTier();
    await this.origin[Symbol.asyncDispose]();
    await this.#remove();
  }

  #logger(part: string) {
    return pino({ level: 'trace' }, { write: (line) => this.log.push({ part, ...(JSON.parse(line) as object) }) });
  }
}

/** Starts all of it: `await using house = await startHouse()`. */
export async function startHouse(options: HouseOptions = {}): Promise<House> {
  const directory = await tmpDir();
  const origin = await startOrigin(options.origin);
  const house = new House(origin, directory.path, () => directory[Symbol.asyncDispose](), options);
  try {
    await writeFile(
      join(directory.path, 'origins.yaml'),
      originsFile({ [REGISTRY]: origin, ...options.registries }, options.origins),
    );
    await house.startTier();
    await house.startAgent();
  } catch (error) {
    await house[Symbol.asyncDispose]();
    throw error;
  }
  return house;
}

/** The origins file (JSON is YAML) that names these servers as registries. */
export function originsFile(registries: Record<string, ListedServer>, more: Readonly<Record<string, unknown>> = {}) {
  const entries = Object.entries(registries).map(([name, { url, entry }]) => [
    name,
    { ...(url !== '' && { endpoint: url }), ...entry },
  ]);
  return JSON.stringify({ registries: Object.fromEntries(entries), ...more });
}

function started<T>(part: T | undefined): T {
  if (part === undefined) throw new Error('this part of the house is not running');
  return part;
}
