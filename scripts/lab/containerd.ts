import { mkdir, rename, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import {
  type ContainerdVersion,
  containerdConfiguration,
  containerdPrograms,
  hasTransferService,
} from './containerd-version.ts';
import { Cri, type Credentials } from './cri.ts';
import { Daemon } from './daemon.ts';
import { privately } from './mounts.ts';
import type { Namespace } from './network.ts';

export interface ContainerdOptions {
  readonly namespace: Namespace;
  /** Everything it writes lies below. */
  readonly directory: string;
  readonly logFile: string;
  /** Default: the newest. */
  readonly version?: ContainerdVersion;
  /** Bytes of each of the ranges in which a layer is fetched at the same time; one stream per layer without it. */
  readonly parallelFetchBytes?: number;
}

export interface PullOptions {
  readonly platform?: string;
  readonly allPlatforms?: boolean;
  /** ctr itself resolves and fetches, as it did before there was a transfer service. */
  readonly local?: boolean;
}

/** Bound of one pull. */
const PULL_MS = 240_000;

/** containerd keeps what ctr and what kubelet pulls apart by names of this kind; the content is common to both. */
const NAMESPACES = { ctr: 'default', cri: 'k8s.io' } as const;

/** A containerd in a node's network namespace, with roots, mounts and certs.d directory of its own. */
export class Containerd implements AsyncDisposable {
  readonly daemon: Daemon;
  readonly version: ContainerdVersion;
  /** Where it looks for hosts.toml files. */
  readonly certsDir: string;
  readonly socket: string;
  /** Where its content lies. */
  readonly contentDir: string;
  readonly #namespace: Namespace;
  readonly #cri: Cri;

  private constructor(daemon: Daemon, { namespace, directory, version = '2.4' }: ContainerdOptions) {
    this.daemon = daemon;
    this.version = version;
    this.#namespace = namespace;
    this.socket = socketIn(directory);
    this.certsDir = certsDirIn(directory);
    this.contentDir = join(directory, 'root/io.containerd.content.v1.content');
    this.#cri = new Cri(this.socket);
  }

  static async start(options: ContainerdOptions): Promise<Containerd> {
    const { namespace, directory, logFile, version = '2.4' } = options;
    const certsDir = certsDirIn(directory);
    await mkdir(certsDir, { recursive: true });
    const file = join(directory, 'config.toml');
    const configuration = { ...options, socket: socketIn(directory), certsDir };
    await writeFile(file, containerdConfiguration(version, configuration));
    const daemon = await Daemon.start({
      argv: namespace.command(privately([containerdPrograms[version].daemon, '--config', file])),
      logFile,
      env: { PATH: process.env['PATH'] },
    });
    const containerd = new Containerd(daemon, options);
    try {
      await daemon.until('answering', async () => (await containerd.ctr('version')) !== '');
      await daemon.until('answering to kubelet', async () => Array.isArray(await containerd.#cri.images()));
    } catch (error) {
      await containerd[Symbol.asyncDispose]();
      throw error;
    }
    return containerd;
  }

  /** Runs ctr against this containerd, in its network namespace, and returns what it printed. */
  async ctr(...args: readonly string[]): Promise<string> {
    const argv = [containerdPrograms[this.version].ctr, '--address', this.socket, ...args];
    return (await this.#namespace.run(argv, { timeoutMs: PULL_MS })).stdout;
  }

  /** Writes the hosts.toml of one registry, or of all others (`_default`). It is read anew at every pull. */
  async configureHost(registry: string, toml: string): Promise<void> {
    const directory = join(this.certsDir, registry);
    await mkdir(directory, { recursive: true });
    await writeFile(join(directory, 'hosts.new'), toml);
    await rename(join(directory, 'hosts.new'), join(directory, 'hosts.toml'));
  }

  /** Pulls and unpacks an image with ctr. */
  async pull(reference: string, { platform, allPlatforms, local }: PullOptions = {}): Promise<void> {
    const which = allPlatforms ? ['--all-platforms'] : platform === undefined ? [] : ['--platform', platform];
    const how = local && hasTransferService(this.version) ? ['--local'] : [];
    await this.ctr('images', 'pull', '--hosts-dir', this.certsDir, ...how, ...which, reference);
  }

  /** Fetches what a reference names and everything below it, and unpacks nothing: what is no image. */
  async fetch(reference: string): Promise<void> {
    await this.ctr('content', 'fetch', '--hosts-dir', this.certsDir, reference);
  }

  /** Pulls and unpacks an image as kubelet does, for this machine's platform. */
  async criPull(reference: string, auth?: Credentials): Promise<void> {
    await this.#cri.pull(reference, auth);
  }

  /** The digest under which an image is known, to ctr or to kubelet. */
  async digest(reference: string, to: keyof typeof NAMESPACES = 'ctr'): Promise<string | undefined> {
    const list = await this.ctr('--namespace', NAMESPACES[to], 'images', 'list', `name==${reference}`);
    return /\bsha256:[0-9a-f]{64}\b/.exec(list)?.[0];
  }

  /** Digests of all content here; containerd has verified each when it was complete. */
  async content(of: keyof typeof NAMESPACES = 'ctr'): Promise<Set<string>> {
    const list = await this.ctr('--namespace', NAMESPACES[of], 'content', 'list', '--quiet');
    return new Set(lines(list));
  }

  /** Removes all images, and with them their content and snapshots, as if the node were new. */
  async forget(): Promise<void> {
    for (const { id } of await this.#cri.images()) await this.#cri.remove(id);
    for (const reference of lines(await this.ctr('images', 'list', '--quiet'))) {
      await this.ctr('images', 'remove', '--sync', reference);
    }
    await this.daemon.until('empty', async () => {
      return (await this.content('ctr')).size === 0 && (await this.content('cri')).size === 0;
    });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#cri[Symbol.dispose]();
    await this.daemon[Symbol.asyncDispose]();
  }
}

function lines(text: string): string[] {
  return text.split('\n').filter((line) => line !== '');
}

function socketIn(directory: string): string {
  return join(directory, 'containerd.sock');
}

function certsDirIn(directory: string): string {
  return join(directory, 'certs.d');
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
