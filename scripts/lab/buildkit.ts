import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { Daemon } from './daemon.ts';
import { debianEnv } from './debian-tools.ts';
import { privately } from './mounts.ts';
import type { Namespace } from './network.ts';
import { toolPath } from './tools.ts';

export interface BuildKitOptions {
  readonly namespace: Namespace;
  readonly directory: string;
  readonly logFile: string;
  /** `host:port` of the registry that is spoken to without TLS. */
  readonly insecure: string;
  /** `host:port` of a mirror of Docker Hub. */
  readonly mirror?: string;
}

const BUILD_MS = 240_000;

/** BuildKit with an OCI worker in directories of its own. What it runs has the network of its namespace. */
export class BuildKit implements AsyncDisposable {
  readonly #namespace: Namespace;
  readonly #address: string;
  readonly #daemon: Daemon;

  private constructor(namespace: Namespace, address: string, daemon: Daemon) {
    this.#namespace = namespace;
    this.#address = address;
    this.#daemon = daemon;
  }

  static async start({ namespace, directory, logFile, insecure, mirror }: BuildKitOptions): Promise<BuildKit> {
    await mkdir(directory, { recursive: true });
    const configuration = join(directory, 'buildkitd.toml');
    const hub = mirror === undefined ? '' : `[registry."docker.io"]\nmirrors = ["${mirror}"]\n`;
    await writeFile(configuration, `${hub}[registry."${insecure}"]\nhttp = true\n`);
    const address = `unix://${join(directory, 'buildkitd.sock')}`;
    const options = {
      addr: address,
      config: configuration,
      root: join(directory, 'root'),
      'oci-worker-net': 'host',
      'containerd-worker': false,
    };
    const flags = Object.entries(options).map(([name, value]) => `--${name}=${value}`);
    const argv = namespace.command(privately([toolPath('buildkitd'), ...flags]));
    const daemon = await Daemon.start({ argv, logFile, env: debianEnv() });
    const buildkit = new BuildKit(namespace, address, daemon);
    try {
      await daemon.until('answering', async () => await buildkit.#isAnswering());
    } catch (error) {
      await daemon[Symbol.asyncDispose]();
      throw error;
    }
    return buildkit;
  }

  /** Builds the Dockerfile of a directory, and pushes the image under this name. */
  async push(context: string, name: string): Promise<void> {
    const locals = ['context', 'dockerfile'].flatMap((what) => ['--local', `${what}=${context}`]);
    const output = `type=image,name=${name},push=true`;
    await this.#ctl('build', '--frontend', 'dockerfile.v0', ...locals, '--output', output);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#daemon[Symbol.asyncDispose]();
  }

  async #isAnswering(): Promise<boolean> {
    try {
      await this.#ctl('debug', 'workers');
      return true;
    } catch {
      return false;
    }
  }

  async #ctl(...args: readonly string[]): Promise<void> {
    await this.#namespace.run([toolPath('buildctl'), '--addr', this.#address, ...args], { timeoutMs: BUILD_MS });
  }
}
