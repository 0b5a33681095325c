import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type Program, startAgent, startTier } from '../lab/circ.ts';
import { Namespace, Network } from '../lab/network.ts';
import { cacheDir } from '../lab/paths.ts';
import { type Registry, type RegistryOptions, startRegistry } from '../lab/registry.ts';
import { VersityGateway } from '../lab/versitygw.ts';
import { load } from './load.ts';
import { type BenchOptions, formatNumber } from './measure.ts';
import { type NginxOptions, startNginx } from './nginx.ts';
import { type GeneratedOrigin, type GeneratedOriginRequest, startGeneratedOrigin } from './origins.ts';
import { cpuSeconds } from '../lab/process.ts';
import { BlobStorage, REPOSITORY } from './storage.ts';

/** The origin's name for clients of circ. */
export const ORIGIN = 'origin.lab';
export const AGENT = 'http://127.0.0.1:5050';
export const TIER = 'http://127.0.0.1:5061';

/** Where a blob is read, at circ and at what is measured beside it; what is no mirror ignores the query. */
export function blobUrl(base: string, digest: string): string {
  return `${base}/v2/${REPOSITORY}/blobs/${digest}?ns=${ORIGIN}`;
}

/** Where a manifest is read; as `blobUrl`. */
export function manifestUrl(base: string, digest: string): string {
  return `${base}/v2/${REPOSITORY}/manifests/${digest}?ns=${ORIGIN}`;
}

export interface CircOptions {
  /** Base URL. */
  readonly origin: string;
  readonly admit?: 'always' | 'second-request' | 'never';
  /** Further variables of the shared tier. */
  readonly tier?: Readonly<Record<string, string>>;
}

/** An agent and a shared tier, two processes on an empty cache. */
export interface Circ extends AsyncDisposable {
  readonly agent: Program;
  readonly tier: Program;
}

/** Processor time that a program took. */
export interface Cost {
  readonly name: string;
  readonly seconds: number;
}

/** Log files of the last run of each bench. */
const logsDir = join(cacheDir, 'bench-logs');

/** A machine of its own as far as ports are concerned, and a directory; what is opened on it ends with it. */
export class Bed implements AsyncDisposable {
  /** Where everything runs but a far origin. */
  readonly here: Namespace;
  /** Where origins run: the same place, unless there is a link between the two. */
  readonly far: Namespace;
  readonly directory: string;
  readonly storage: BlobStorage;
  readonly #logs: string;
  readonly #options: BenchOptions;
  readonly #stack: AsyncDisposableStack;
  /** Those that run, by name. */
  readonly #processes = new Map<string, number>();
  #started = 0;

  private constructor(
    places: { here: Namespace; far: Namespace; directory: string; logs: string },
    options: BenchOptions,
    stack: AsyncDisposableStack,
  ) {
    this.here = places.here;
    this.far = places.far;
    this.directory = places.directory;
    this.storage = new BlobStorage(join(this.directory, 'origin'));
    this.#logs = places.logs;
    this.#options = options;
    this.#stack = stack;
  }

  /** @param linkMegabits the origins are at the other end of a link that carries so many Mbit/s */
  static async make(name: string, options: BenchOptions, linkMegabits?: number): Promise<Bed> {
    await using stack = new AsyncDisposableStack();
    const logs = join(logsDir, name);
    await rm(logs, { recursive: true, force: true });
    await mkdir(logs, { recursive: true });
    const directory = await mkdtemp(join(tmpdir(), `circ-bench-${name}-`));
    stack.defer(async () => await rm(directory, { recursive: true }));
    if (linkMegabits === undefined) {
      const here = stack.use(await Namespace.create('bench'));
      return new Bed({ here, far: here, directory, logs }, options, stack.move());
    }
    const network = stack.use(await Network.create());
    const far = await network.attach('origin');
    await network.limitUplink(far, linkMegabits);
    await network.limitDownlink(far, linkMegabits);
    return new Bed({ here: network.hub, far, directory, logs }, options, stack.move());
  }

  /** A registry with the blobs of `storage`, at its `address`. */
  async registry(
    storage = this.storage.registry,
    more: Pick<RegistryOptions, 'port' | 'htpasswd' | 'readOnly'> = {},
  ): Promise<Registry> {
    const options = { namespace: this.far, storage, directory: this.directory, readOnly: true, ...more };
    const name = more.port === undefined ? 'registry' : `registry-${more.port}`;
    const registry = this.#stack.use(await startRegistry({ ...options, logFile: this.logFile(name) }));
    this.#processes.set(name, registry.daemon.pid);
    return registry;
  }

  /** An S3-compatible store with one bucket. */
  async s3(): Promise<VersityGateway> {
    const directory = join(this.directory, 's3');
    const gateway = this.#stack.use(await VersityGateway.start(directory, this.logFile('s3'), this.here));
    this.#processes.set('s3', gateway.daemon.pid);
    return gateway;
  }

  async generatedOrigin(request: GeneratedOriginRequest): Promise<GeneratedOrigin> {
    const origin = this.#stack.use(await startGeneratedOrigin(this.far, this.logFile('origin'), request));
    this.#processes.set('origin', origin.pid);
    return origin;
  }

  /** Starts nginx beside circ. */
  async nginx(http: NginxOptions['http']): Promise<void> {
    const options = { namespace: this.here, directory: join(this.directory, 'nginx'), logFile: this.logFile('nginx') };
    const daemon = this.#stack.use(await startNginx({ ...options, http }));
    this.#processes.set('nginx', daemon.pid);
  }

  /** Starts circ anew. The caller ends it, and with it goes what it has cached. */
  async circ({ origin, admit = 'never', tier: tierEnv = {} }: CircOptions): Promise<Circ> {
    await using stack = new AsyncDisposableStack();
    const directory = await mkdtemp(join(this.directory, 'circ-'));
    stack.defer(async () => await rm(directory, { recursive: true }));
    const origins = join(directory, 'origins.yaml');
    await writeFile(origins, `registries:\n  ${ORIGIN}:\n    endpoint: ${origin}\n`);
    const { cpuProfiles } = this.#options;
    const options = (name: string) => ({
      namespace: this.here,
      directory: join(directory, name),
      logFile: this.logFile(name),
      origins,
      env: {
        CIRC_TIER_STORE_SIZE: '100GiB',
        CIRC_AGENT_CACHE_SIZE: '100GiB',
        CIRC_AGENT_ADMIT: admit,
        ...(cpuProfiles !== undefined && { NODE_OPTIONS: `--cpu-prof --cpu-prof-dir=${cpuProfiles}` }),
      },
    });
    const { env, ...tierOptions } = options('tier');
    const spool = { CIRC_TIER_SPOOL_DIR: join(directory, 'spool') };
    const isBucket = tierEnv['CIRC_TIER_STORE'] !== undefined;
    const tier = stack.use(await startTier({ ...tierOptions, env: { ...env, ...(isBucket && spool), ...tierEnv } }));
    const agent = stack.use(await startAgent(this.here, options('agent')));
    for (const [name, { daemon }] of Object.entries({ agent, tier })) {
      this.#processes.set(name, daemon.pid);
      stack.defer(() => void this.#processes.delete(name));
    }
    const running = stack.move();
    return { agent, tier, [Symbol.asyncDispose]: async () => await running.disposeAsync() };
  }

  /** GETs a URL, and says what that cost each program. @returns GB/s (10^9 bytes per second), of all clients together */
  async throughput(url: string, connections = 1): Promise<number> {
    const { result, costs } = await this.costOf(async () => await load(this.here, { url, connections }));
    const perGigabyte = costs
      .map(({ name, seconds }) => ({ name, cost: (seconds / result.bytes) * 1e9 }))
      .filter(({ cost }) => cost >= 0.02)
      .map(({ name, cost }) => `${name} ${formatNumber(cost)}`);
    this.#options.say(`  ${new URL(url).host}: CPU seconds per GB: ${perGigabyte.join(', ')}`);
    return result.bytes / result.durationMs / 1e6;
  }

  /** Does something, and tells what processor time each program took meanwhile. */
  async costOf<Result>(action: () => Promise<Result>): Promise<{ result: Result; costs: Cost[] }> {
    const before = await this.#cpuSeconds();
    const result = await action();
    const after = await this.#cpuSeconds();
    return {
      result,
      costs: [...after].map(([name, seconds]) => ({ name, seconds: seconds - (before.get(name) ?? 0) })),
    };
  }

  /** Counts a process among those whose costs are told. */
  watch(name: string, pid: number): void {
    this.#processes.set(name, pid);
  }

  /** Where the next program writes what it says. */
  logFile(name: string): string {
    this.#started += 1;
    return join(this.#logs, `${this.#started}-${name}.log`);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#stack.disposeAsync();
  }

  async #cpuSeconds(): Promise<Map<string, number>> {
    const seconds = new Map<string, number>();
    for (const [name, pid] of this.#processes) seconds.set(name, await cpuSeconds(pid));
    return seconds;
  }
}

/** How many GETs of blobs the agent has answered in this way. */
export async function blobOutcomes({ agent }: Circ, outcome: string): Promise<number> {
  return (await agent.metrics()).sum('circ_requests_total', { kind: 'blob', outcome });
}

/** @throws unless so many were answered in this way: a measurement of something else is worth nothing */
export async function assertOutcomes(circ: Circ, outcome: string, atLeast: number): Promise<void> {
  const count = await blobOutcomes(circ, outcome);
  if (count < atLeast) throw new Error(`${count} answers of the agent were ${outcome}, expected ${atLeast}`);
}
