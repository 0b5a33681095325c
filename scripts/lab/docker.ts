import { mkdir, writeFile } from 'node:fs/promises';
import { request } from 'node:http';
import { dirname, join } from 'node:path';
import { text } from 'node:stream/consumers';
import { debianEnv, debianPath } from './debian-tools.ts';
import { Daemon } from './daemon.ts';
import { privately } from './mounts.ts';
import type { Namespace } from './network.ts';
import { exists } from './paths.ts';

export interface DockerOptions {
  readonly namespace: Namespace;
  /** Everything it writes lies below; the containerd that it needs has its log there, too. */
  readonly directory: string;
  readonly logFile: string;
  /** Base URLs of mirrors of Docker Hub. */
  readonly mirrors: readonly string[];
  /** Registries in plain HTTP, beyond this machine: hosts, or networks. */
  readonly insecure?: readonly string[];
}

export interface DockerImage {
  /** Digest of its configuration. */
  readonly Id: string;
  /** name@digest, with the digest of the index or manifest that was pulled. */
  readonly RepoDigests: readonly string[];
}

/** Bound of one call; a pull is one. */
const CALL_MS = 240_000;

/** Debian's Docker daemon with directories of its own, without networks and without a firewall. */
export class Docker implements AsyncDisposable {
  readonly #namespace: Namespace;
  readonly #socket: string;
  readonly #processes: AsyncDisposableStack;

  private constructor(namespace: Namespace, socket: string, processes: AsyncDisposableStack) {
    this.#namespace = namespace;
    this.#socket = socket;
    this.#processes = processes;
  }

  static async start({ namespace, directory, logFile, mirrors, insecure = [] }: DockerOptions): Promise<Docker> {
    await mkdir(directory, { recursive: true });
    const socket = join(directory, 'docker.sock');
    const containerd = join(directory, 'containerd.sock');
    await using stack = new AsyncDisposableStack();
    const start = async (argv: readonly string[], log: string): Promise<Daemon> =>
      stack.use(
        await Daemon.start({
          argv: namespace.command(argv),
          logFile: log,
          env: debianEnv(),
        }),
      );
    const configuration = join(directory, 'containerd.toml');
    await writeFile(configuration, containerdConfiguration(directory, containerd));
    const runtime = await start(
      privately([debianPath('containerd'), '--config', configuration]),
      join(directory, 'containerd.log'),
    );
    // dockerd would find that out by itself, seconds later.
    await runtime.until('listening', async () => await exists(containerd));
    const options = {
      host: `unix://${socket}`,
      containerd,
      pidfile: join(directory, 'pid'),
      'data-root': join(directory, 'data'),
      'exec-root': join(directory, 'exec'),
      bridge: 'none',
      iptables: false,
      ip6tables: false,
      'ip-forward': false,
      'ip-masq': false,
    };
    const flags = Object.entries(options).map(([name, value]) => `--${name}=${value}`);
    flags.push(...mirrors.map((mirror) => `--registry-mirror=${mirror}`));
    flags.push(...insecure.map((each) => `--insecure-registry=${each}`));
    // What the daemon mounts, containerd runs.
    const beside = ['nsenter', `--mount=/proc/${runtime.pid}/ns/mnt`, '--'];
    const daemon = await start([...beside, debianPath('dockerd'), ...flags], logFile);
    const docker = new Docker(namespace, socket, stack.move());
    try {
      await daemon.until('answering', async () => (await docker.#call('GET', '/_ping')) === 'OK');
    } catch (error) {
      await docker[Symbol.asyncDispose]();
      throw error;
    }
    return docker;
  }

  /** The command line of the program `docker` of the same package. */
  command(...args: readonly string[]): string[] {
    const options = ['--config', dirname(this.#socket), '--host', `unix://${this.#socket}`];
    // What is set for the Docker of whoever runs the lab is not meant for this one.
    return this.#namespace.command(['env', '--ignore-environment', debianPath('docker'), ...options, ...args]);
  }

  /** What `docker pull` does. @throws what the daemon says of the pull */
  async pull(name: string, tag: string): Promise<void> {
    const parameters = new URLSearchParams({ fromImage: name, tag });
    assertDone(await this.#call('POST', `/images/create?${parameters.toString()}`));
  }

  /** What `docker tag` does. */
  async tag(image: string, name: string, tag: string): Promise<void> {
    await this.#call('POST', `/images/${image}/tag?${new URLSearchParams({ repo: name, tag }).toString()}`);
  }

  /** What `docker push` does after a `docker login`. @throws what the daemon says of the push */
  async push(name: string, tag: string, login: { username: string; password: string }): Promise<void> {
    const headers = { 'x-registry-auth': Buffer.from(JSON.stringify(login)).toString('base64url') };
    assertDone(await this.#call('POST', `/images/${name}/push?${new URLSearchParams({ tag }).toString()}`, headers));
  }

  async remove(name: string): Promise<void> {
    await this.#call('DELETE', `/images/${name}?force=1`);
  }

  async image(name: string): Promise<DockerImage> {
    return JSON.parse(await this.#call('GET', `/images/${name}/json`)) as DockerImage;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#processes.disposeAsync();
  }

  /** https://docs.docker.com/reference/api/engine/ */
  async #call(method: string, path: string, headers = {}): Promise<string> {
    const { promise, resolve, reject } = Promise.withResolvers<string>();
    const options = { socketPath: this.#socket, method, path, headers, signal: AbortSignal.timeout(CALL_MS) };
    const sent = request(options, (response) => {
      text(response).then((body) => {
        if (response.statusCode === 200 || response.statusCode === 201) resolve(body);
        else reject(new Error(`${method} ${path}: ${response.statusCode} ${body}`));
      }, reject);
    });
    sent.on('error', reject).end();
    return await promise;
  }
}

/** The daemon tells what goes wrong within a progress that began well. */
function assertDone(progress: string): void {
  const errors = progress.split('\n').filter((line) => line.includes('"error"'));
  if (errors.length > 0) throw new Error(errors.join('\n'));
}

function containerdConfiguration(directory: string, socket: string): string {
  return `version = 2
root = "${directory}/containerd-root"
state = "${directory}/containerd-state"
disabled_plugins = ["io.containerd.grpc.v1.cri"]
[grpc]
address = "${socket}"
[plugins."io.containerd.internal.v1.opt"]
path = "${directory}/opt"
`;
}
