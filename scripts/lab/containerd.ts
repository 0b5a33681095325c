import { mkdir, rename, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { Daemon } from './daemon.ts';
import type { Namespace } from './network.ts';
import { toolPath } from './tools.ts';

export interface ContainerdOptions {
  readonly namespace: Namespace;
  /** Everything it writes lies below. */
  readonly directory: string;
  readonly logFile: string;
  /** Bytes of each of the ranges in which a layer is fetched at the same time; one stream per layer without it. */
  readonly parallelFetchBytes?: number;
}

export interface PullOptions {
  readonly platform?: string;
  readonly allPlatforms?: boolean;
}

/** Bound of one pull. */
const PULL_MS = 240_000;

/** A containerd in a node's network namespace, with roots, mounts and certs.d directory of its own. */
export class Containerd implements AsyncDisposable {
  readonly daemon: Daemon;
  /** Where it looks for hosts.toml files. */
  readonly certsDir: string;
  readonly #namespace: Namespace;
  readonly #socket: string;

  private constructor(daemon: Daemon, namespace: Namespace, directory: string) {
    this.daemon = daemon;
    this.#namespace = namespace;
    this.#socket = join(directory, 'containerd.sock');
    this.certsDir = join(directory, 'certs.d');
  }

  static async start(options: ContainerdOptions): Promise<Containerd> {
    const { namespace, directory, logFile } = options;
    await mkdir(join(directory, 'certs.d'), { recursive: true });
    const file = join(directory, 'config.toml');
    await writeFile(file, configuration(directory, options.parallelFetchBytes));
    const daemon = await Daemon.start({
      // The mounts of unpacking are seen by nobody else, and vanish with the process.
      argv: namespace.command(['unshare', '--mount', '--', toolPath('containerd'), '--config', file]),
      logFile,
      env: { PATH: process.env['PATH'] },
    });
    const containerd = new Containerd(daemon, namespace, directory);
    try {
      await daemon.until('answering', async () => (await containerd.ctr('version')) !== '');
    } catch (error) {
      await containerd[Symbol.asyncDispose]();
      throw error;
    }
    return containerd;
  }

  /** Runs ctr against this containerd, in its network namespace, and returns what it printed. */
  async ctr(...args: readonly string[]): Promise<string> {
    const argv = [toolPath('ctr'), '--address', this.#socket, ...args];
    return (await this.#namespace.run(argv, { timeoutMs: PULL_MS })).stdout;
  }

  /** Writes the hosts.toml of one registry, or of all others (`_default`). It is read anew at every pull. */
  async configureHost(registry: string, toml: string): Promise<void> {
    const directory = join(this.certsDir, registry);
    await mkdir(directory, { recursive: true });
    await writeFile(join(directory, 'hosts.new'), toml);
    await rename(join(directory, 'hosts.new'), join(directory, 'hosts.toml'));
  }

  /** Pulls and unpacks an image by the transfer service, which is what the CRI uses too. */
  async pull(reference: string, options: PullOptions = {}): Promise<void> {
    const which = options.allPlatforms
      ? ['--all-platforms']
      : options.platform === undefined
        ? []
        : ['--platform', options.platform];
    await this.ctr('images', 'pull', '--hosts-dir', this.certsDir, ...which, reference);
  }

  /** The digest under which an image is known. */
  async digest(reference: string): Promise<string | undefined> {
    return /\bsha256:[0-9a-f]{64}\b/.exec(await this.ctr('images', 'list', `name==${reference}`))?.[0];
  }

  /** Digests of all content here; containerd has verified each when it was complete. */
  async content(): Promise<Set<string>> {
    return new Set((await this.ctr('content', 'list', '--quiet')).split('\n').filter((line) => line !== ''));
  }

  /** Removes all images, and with them their content and snapshots, as if the node were new. */
  async forget(): Promise<void> {
    const references = (await this.ctr('images', 'list', '--quiet')).split('\n').filter((line) => line !== '');
    for (const reference of references) await this.ctr('images', 'remove', '--sync', reference);
    await this.daemon.until('empty', async () => (await this.content()).size === 0);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.daemon[Symbol.asyncDispose]();
  }
}

/**
 * The hosts.toml of a node: the agent first, then, when nobody answers there, the registry itself.
 *
 * @param server the registry's own URL, needed where it is not https on the name's port 443
 */
export function hostsToml(agentUrl: string, server?: string): string {
  const table = [`[host."${agentUrl}"]`, 'capabilities = ["pull", "resolve"]', 'dial_timeout = "5s"', ''];
  return [...(server === undefined ? [] : [`server = "${server}"`, '']), ...table].join('\n');
}

function configuration(directory: string, parallelFetchBytes: number | undefined): string {
  const transfer = parallelFetchBytes === undefined ? '' : `concurrent_layer_fetch_buffer = ${parallelFetchBytes}`;
  return `version = 3
root = "${directory}/root"
state = "${directory}/state"
disabled_plugins = [
  "io.containerd.cri.v1.images",
  "io.containerd.cri.v1.runtime",
  "io.containerd.grpc.v1.cri",
  "io.containerd.nri.v1.nri",
  "io.containerd.internal.v1.tracing",
  "io.containerd.tracing.processor.v1.otlp",
]
[grpc]
address = "${directory}/containerd.sock"
[plugins."io.containerd.internal.v1.opt"]
path = "${directory}/opt"
[plugins."io.containerd.transfer.v1.local"]
${transfer}
`;
}
