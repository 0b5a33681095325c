import { randomBytes } from 'node:crypto';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { pino } from 'pino';
import { type Agent, startAgent } from '../../agent/agent.ts';
import { readAgentConfig } from '../../agent/config.ts';
import { rankFor } from '../../agent/rendezvous.ts';
import { formatAddress, parseAddress } from '../../service/units.ts';
import { type Download, type DownloadOptions, type Pulled, download, pull, urlOf } from './house-client.ts';
import { type Scrape, scrape } from './house-metrics.ts';
import { Program } from './house-process.ts';
import { REGISTRY, originsFile } from './house.ts';
import { type Origin, startOrigin } from './origin.ts';
import { tmpDir } from './tmp-dir.ts';

/** What a replica's variables are, beyond the usual. */
type Env = Record<string, string>;

/** An origin, and replicas of the shared tier as processes of their own, told apart by their address only. */
export class ReplicatedTier implements AsyncDisposable {
  readonly origin: Origin;
  readonly #directory: string;
  readonly #parts: AsyncDisposableStack;
  readonly #programs = new Map<string, Program>();
  readonly #agents: Agent[] = [];
  #port = 0;

  constructor(origin: Origin, directory: string, parts: AsyncDisposableStack) {
    this.origin = origin;
    this.#directory = directory;
    this.#parts = parts;
  }

  /** The port that all have. */
  get port(): number {
    return this.#port;
  }

  get hosts(): string[] {
    return [...this.#programs.keys()];
  }

  /** Starts one, or its next life. */
  async start(host: string, env: Env = {}): Promise<Program> {
    const program = new Program('shared-tier/main.ts', {
      env: {
        CIRC_ORIGINS: join(this.#directory, 'origins.yaml'),
        CIRC_TIER_KEY_FILE: join(this.#directory, 'key'),
        CIRC_TIER_GRPC_LISTEN: `${host}:${this.#port}`,
        CIRC_TIER_HTTP_LISTEN: `${host}:0`,
        CIRC_TIER_STATUS_LISTEN: `${host}:0`,
        CIRC_TIER_STORE: `file://${join(this.#directory, `tier-${host}`)}`,
        ...env,
      },
    });
    this.#parts.use(program);
    const { grpc = '' } = await program.listening();
    this.#port = parseAddress(grpc).port;
    this.#programs.set(host, program);
    return program;
  }

  /** The process at an address. */
  at(host: string): Program {
    const program = this.#programs.get(host);
    if (!program) throw new Error(`no replica at ${host}`);
    return program;
  }

  /** The address that a node asks first, and those it would ask then. */
  preferred(key: string, hosts: readonly string[] = this.hosts): [string, ...string[]] {
    const [first = '', ...others] = rankFor(key, hosts, (host) => host);
    return [first, ...others];
  }

  /** Starts an agent in this process that finds the replicas at these addresses. */
  async agent(lookup: () => readonly string[] = () => this.hosts, env: Env = {}): Promise<RunningAgent> {
    const variables = {
      CIRC_ORIGINS: join(this.#directory, 'origins.yaml'),
      CIRC_AGENT_LISTEN: '127.0.0.1:0',
      CIRC_AGENT_STATUS_LISTEN: '127.0.0.1:0',
      CIRC_AGENT_CACHE_DIR: join(this.#directory, `agent-${this.#agents.length}`),
      CIRC_AGENT_MIN_FREE: '0%',
      CIRC_AGENT_ADMIT: 'never',
      CIRC_SHARED_TIER: `tier.test:${this.#port}`,
      ...env,
    };
    const agent = await startAgent(readAgentConfig(variables), pino({ level: 'silent' }), {
      lookup: async () => lookup(),
    });
    this.#parts.use(agent);
    this.#agents.push(agent);
    const running = new RunningAgent(agent);
    await running.replicas({ healthy: lookup().length });
    return running;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#parts[Symbol.asyncDispose]();
  }
}

/** An agent, as its clients see it. */
export class RunningAgent {
  readonly #agent: Agent;
  readonly #place: { mirror: string; registry: string };

  constructor(agent: Agent) {
    this.#agent = agent;
    this.#place = { mirror: `http://${formatAddress(agent.mirror)}`, registry: REGISTRY };
  }

  async pull(repository: string, reference: string): Promise<Pulled> {
    return await pull({ ...this.#place, repository, reference });
  }

  async blob(repository: string, digest: string, options?: DownloadOptions): Promise<Download> {
    return await download(this.url('blobs', repository, digest), options);
  }

  url(kind: 'manifests' | 'blobs', repository: string, reference: string): string {
    return urlOf({ ...this.#place, repository }, kind, reference);
  }

  async metrics(): Promise<Scrape> {
    return await scrape(formatAddress(this.#agent.status));
  }

  /** Waits until the agent sees its replicas so. */
  async replicas(wanted: Readonly<Record<string, number>>, withinMs = 10_000): Promise<void> {
    for (const deadline = performance.now() + withinMs; ;) {
      const metrics = await this.metrics();
      const seen = Object.keys(wanted).map((state) => metrics.sum('circ_tier_replicas', { state }));
      if (Object.values(wanted).every((count, index) => count === seen[index])) return;
      await sleep(50);
      if (performance.now() > deadline) throw new Error(`replicas are ${Object.keys(wanted).join()}=${seen.join()}`);
    }
  }
}

/** Starts so many replicas at 127.0.0.2 and on: `await using tier = await startReplicas(2)`. */
export async function startReplicas(count: number, envs: Record<string, Env> = {}): Promise<ReplicatedTier> {
  await using starting = new AsyncDisposableStack();
  const directory = starting.use(await tmpDir());
  const origin = starting.use(await startOrigin());
  await writeFile(join(directory.path, 'origins.yaml'), originsFile({ [REGISTRY]: origin }));
  await writeFile(join(directory.path, 'key'), randomBytes(32));
  const replicas = new ReplicatedTier(origin, directory.path, starting.move());
  try {
    const hosts = Array.from({ length: count }, (_, index) => `127.0.0.${index + 2}`);
    const [first = '', ...others] = hosts;
    await replicas.start(first, envs[first]); // on a port that is free; the others are on the same
    await Promise.all(others.map((host) => replicas.start(host, envs[host])));
    return replicas;
  } catch (error) {
    await replicas[Symbol.asyncDispose]();
    throw error;
  }
}
