import { join } from 'node:path';
import type { Containerd } from './containerd.ts';
import { Daemon } from './daemon.ts';
import { get } from './http.ts';
import type { Namespace } from './network.ts';
import { toolPath } from './tools.ts';

/** As its chart has them: the port of the node's own Spegel, and the node port that leads to any. */
const HOST_PORT = 30020;
const NODE_PORT = 30021;
const ROUTER_PORT = 5001;
const METRICS_PORT = 9090;
const BOOTSTRAP_PORT = 5002;
const CLEANUP_PORT = 8080;

export interface SpegelOptions {
  /** Of the node. */
  readonly namespace: Namespace;
  /** Whose images it gives to others. */
  readonly containerd: Containerd;
  /** Where its logs lie. */
  readonly logs: string;
  /** The node at which it asks for the others. */
  readonly peer: Namespace;
}

/** A node's Spegel, another cache in front of registries: https://spegel.dev. Each part is a program of its pod. */
export class Spegel {
  readonly #options: SpegelOptions;

  constructor(options: SpegelOptions) {
    this.#options = options;
  }

  /** Writes its hosts.toml, with the arguments of its chart: what `helm install` does on a node, and each start of its pod. */
  async configure(...flags: readonly string[]): Promise<void> {
    const { namespace } = this.#options;
    const targets = [HOST_PORT, NODE_PORT].map((port) => `http://${namespace.address}:${port}`);
    await namespace.run([
      toolPath('spegel'),
      'configuration',
      ...this.#directory(),
      '--mirror-targets',
      ...targets,
      ...flags,
    ]);
  }

  /** Starts to serve. It is ready when there is another one. */
  async serve(): Promise<Daemon> {
    const { containerd, peer } = this.#options;
    return await this.#start('registry', [
      `--containerd-sock=${containerd.socket}`,
      // Where ctr's images are.
      '--containerd-namespace=default',
      `--containerd-content-path=${containerd.contentDir}`,
      `--registry-addr=:${HOST_PORT}`,
      `--router-addr=:${ROUTER_PORT}`,
      `--metrics-addr=:${METRICS_PORT}`,
      '--bootstrap-kind=http',
      `--http-bootstrap-addr=:${BOOTSTRAP_PORT}`,
      `--http-bootstrap-peer=http://${peer.address}:${BOOTSTRAP_PORT}`,
      // Its chart's 20 ms are for a cluster whose processors are not these tests' alone.
      '--mirror-resolve-timeout=2s',
    ]);
  }

  /** Waits until it serves. */
  async ready(daemon: Daemon): Promise<void> {
    await this.#until(daemon, HOST_PORT);
  }

  /** What `helm uninstall` does on a node. */
  async cleanUp(): Promise<void> {
    await using daemon = await this.#start('cleanup', [...this.#directory(), `--addr=:${CLEANUP_PORT}`]);
    await this.#until(daemon, CLEANUP_PORT);
  }

  #directory(): string[] {
    return [`--containerd-registry-config-path=${this.#options.containerd.certsDir}`];
  }

  async #start(command: string, args: readonly string[]): Promise<Daemon> {
    const { namespace, logs } = this.#options;
    return await Daemon.start({
      argv: namespace.command([toolPath('spegel'), command, ...args]),
      logFile: join(logs, `spegel-${command}-${namespace.name}.log`),
      env: { PATH: process.env['PATH'] },
    });
  }

  async #until(daemon: Daemon, port: number): Promise<void> {
    await daemon.until('ready', async () => {
      return (await get(this.#options.namespace, `http://127.0.0.1:${port}/readyz`)).status === 200;
    });
  }
}
