import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { Daemon } from './daemon.ts';
import { get } from './http.ts';
import { Metrics } from './metrics.ts';
import type { Namespace } from './network.ts';
import { repositoryRoot } from './paths.ts';

export interface ProgramOptions {
  readonly namespace: Namespace;
  /** Its store or cache; what an earlier one left there is kept. */
  readonly directory: string;
  readonly logFile: string;
  /** The origins file. */
  readonly origins: string;
  /** Further variables, or other values. */
  readonly env?: Readonly<Record<string, string>>;
}

/** A running program of ours: an agent, a shared tier, or both in one process. */
export class Program implements AsyncDisposable {
  readonly daemon: Daemon;
  readonly namespace: Namespace;
  readonly #statusPorts: readonly number[];

  private constructor(daemon: Daemon, namespace: Namespace, statusPorts: readonly number[]) {
    this.daemon = daemon;
    this.namespace = namespace;
    this.#statusPorts = statusPorts;
  }

  /** Starts a source file of this repository and waits until it is ready at all its status ports. */
  static async start(
    file: string,
    statusPorts: readonly number[],
    options: Omit<ProgramOptions, 'origins'>,
  ): Promise<Program> {
    const { namespace, directory, logFile } = options;
    await mkdir(directory, { recursive: true });
    const daemon = await Daemon.start({
      argv: namespace.command([process.execPath, join(repositoryRoot, file)]),
      logFile,
      cwd: directory,
      env: { PATH: process.env['PATH'], HOME: directory, ...options.env },
    });
    const program = new Program(daemon, namespace, statusPorts);
    try {
      await daemon.until('ready', async () => await program.ready());
    } catch (error) {
      await program[Symbol.asyncDispose]();
      throw error;
    }
    return program;
  }

  async ready(): Promise<boolean> {
    for (const port of this.#statusPorts) {
      const { status } = await get(this.namespace, `http://127.0.0.1:${port}/readyz`);
      if (status !== 200) return false;
    }
    return true;
  }

  async metrics(): Promise<Metrics> {
    const texts = [];
    for (const port of this.#statusPorts) {
      texts.push((await get(this.namespace, `http://127.0.0.1:${port}/metrics`)).body);
    }
    return new Metrics(texts.join('\n'));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.daemon[Symbol.asyncDispose]();
  }
}

/** Starts a shared tier with a disk store, reachable from the lab's nodes at the usual ports of its namespace. */
export async function startTier(options: ProgramOptions): Promise<Program> {
  const { namespace, directory, origins } = options;
  await mkdir(directory, { recursive: true });
  const keyFile = join(directory, '..', 'tier.key');
  await writeFile(keyFile, 'thirty-two bytes for one lab only');
  return await Program.start('shared-tier/main.ts', [5062], {
    ...options,
    env: {
      CIRC_TIER_STORE: `file://${directory}`,
      CIRC_TIER_STORE_SIZE: '10GiB',
      CIRC_TIER_ADVERTISE: `${namespace.address}:5061`,
      CIRC_TIER_LEASES: 'memory',
      CIRC_TIER_KEY_FILE: keyFile,
      CIRC_ORIGINS: origins,
      CIRC_INSECURE: 'true',
      ...options.env,
    },
  });
}

/** Starts a node's agent; `tier` is the namespace of its shared tier. */
export async function startAgent(tier: Namespace, options: ProgramOptions): Promise<Program> {
  return await Program.start('agent/main.ts', [5051], {
    ...options,
    env: {
      CIRC_SHARED_TIER: `${tier.address}:5060`,
      CIRC_AGENT_CACHE_DIR: options.directory,
      CIRC_AGENT_CACHE_SIZE: '10GiB',
      // The machine's disk is not this lab's matter.
      CIRC_AGENT_MIN_FREE: '1%',
      CIRC_ORIGINS: options.origins,
      CIRC_INSECURE: 'true',
      ...options.env,
    },
  });
}
