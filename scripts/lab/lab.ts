import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { Program } from './circ.ts';
import { Containerd, type ContainerdOptions, hostsToml } from './containerd.ts';
import { ensureImages } from './images.ts';
import type { Namespace, Network } from './network.ts';
import type { Registry } from './registry.ts';
import { lastLines } from './run.ts';
import { REGISTRY, Site } from './site.ts';
import { craneIn } from './crane.ts';

export { REGISTRY };

/** Where clients on a node find its agent. */
export const AGENT_URL = 'http://127.0.0.1:5050';

/** How a manifest names content: https://github.com/opencontainers/image-spec/blob/main/descriptor.md */
export interface Descriptor {
  readonly digest: string;
  readonly size: number;
  /** The content itself, in base64: oras does that with empty configurations. */
  readonly data?: string;
}

/** A node's containerd: see `ContainerdOptions`. */
export type LabContainerdOptions = Pick<ContainerdOptions, 'version' | 'parallelFetchBytes'>;

export interface LabOptions extends LabContainerdOptions {
  /** Names of the origin for clients, besides {@link REGISTRY}. For circ each is a registry of its own. */
  readonly registries?: readonly string[];
  /** The origin has nothing at first, and may be pushed to. */
  readonly isOriginEmpty?: boolean;
  /** Whom the origin lets in, see `RegistryOptions`; everybody unless given. */
  readonly htpasswd?: string;
  /** Further variables of the shared tier, or other values. */
  readonly tierEnv?: Readonly<Record<string, string>>;
  /** The same for the agent. */
  readonly agentEnv?: Readonly<Record<string, string>>;
}

/**
 * One origin, one shared tier and one node, on a network without a way out:
 *
 *     origin (registry:5000) ── hub (tier:5060-5062) ── node (agent:5050-5051, containerd)
 */
export interface Lab extends AsyncDisposable {
  readonly network: Network;
  readonly originNode: Namespace;
  readonly node: Namespace;
  /** Holds the images of `images.ts`, read-only. */
  readonly origin: Registry;
  readonly tier: Program;
  readonly agent: Program;
  /** Its `_default` hosts.toml leads to the agent. */
  readonly containerd: Containerd;
  /** For the test's own files; removed with the lab. */
  readonly directory: string;
  /** Kept until the next run. */
  readonly logs: string;
  /** Another shared tier process on the same store, once the first one is gone. */
  restartTier(): Promise<Program>;
  /** One more containerd on the node, configured like the first one; the caller ends it. */
  startContainerd(options: LabContainerdOptions): Promise<Containerd>;
  /** Gives the node a way to the origin when the agent does not answer. */
  allowFallThrough(): Promise<void>;
  /** Runs crane in a namespace and returns what it printed. */
  crane(namespace: Namespace, ...args: readonly string[]): Promise<string>;
  /** Digest of an image, as its origin says. */
  digest(image: string): Promise<string>;
  /** Config and layers of an image, or of one platform of an index, as its origin says. */
  blobs(image: string, platform?: string): Promise<Descriptor[]>;
}

/** Starts everything and waits until all of it answers. */
export async function startLab(options: LabOptions = {}): Promise<Lab> {
  await using stack = new AsyncDisposableStack();
  const { registries = [], isOriginEmpty = false, htpasswd, tierEnv = {}, agentEnv = {} } = options;
  const content = isOriginEmpty ? {} : { storage: await ensureImages() };
  const site = stack.use(await Site.start('lab'));
  const { network, directory, logs } = site;
  const { namespace: originNode, registry: origin } = await site.origin({ registries, ...content, htpasswd });
  const node = await network.attach('node');
  const startOurTier = async (logName: string): Promise<Program> =>
    await site.tier({ namespace: network.hub, name: 'tier', logName, env: tierEnv });
  const tier = stack.use(await startOurTier('tier'));
  const agent = stack.use(await site.agent(network.hub, { namespace: node, name: 'agent', env: agentEnv }));
  let containerds = 0;
  const startContainerd = async (which: LabContainerdOptions): Promise<Containerd> => {
    const name = `containerd-${(containerds += 1)}`;
    const started = await Containerd.start({
      ...which,
      namespace: node,
      directory: join(directory, name),
      logFile: join(logs, `${name}.log`),
    });
    await started.configureHost('_default', hostsToml(AGENT_URL));
    return started;
  };
  const containerd = stack.use(await startContainerd(options));

  const crane = async (namespace: Namespace, ...args: readonly string[]): Promise<string> =>
    await craneIn({ namespace, home: directory, timeoutMs: 240_000 })(...args);
  const running = stack.move();
  return {
    network,
    originNode,
    node,
    origin,
    tier,
    agent,
    containerd,
    directory,
    logs,
    crane,
    startContainerd,
    restartTier: async () => await startOurTier('tier-again'),
    allowFallThrough: async () =>
      await containerd.configureHost(REGISTRY, hostsToml(AGENT_URL, `http://${origin.address}`)),
    digest: async (image) => await crane(originNode, 'digest', `${origin.address}/${image}`),
    blobs: async (image, platform) => {
      const which = platform === undefined ? [] : ['--platform', platform];
      const text = await crane(originNode, 'manifest', ...which, `${origin.address}/${image}`);
      const manifest = JSON.parse(text) as { config: Descriptor; layers: Descriptor[] };
      return [manifest.config, ...manifest.layers];
    },
    [Symbol.asyncDispose]: async () => await running.disposeAsync(),
  };
}

/** The end of every log of a lab, for a failed test. */
export async function logTails(logs: string): Promise<string> {
  const parts = [];
  for (const entry of await readdir(logs, { recursive: true, withFileTypes: true })) {
    if (!entry.isFile()) continue;
    const file = join(entry.parentPath, entry.name);
    const text = await readFile(file, 'utf8');
    parts.push(`--- ${file}\n${lastLines(text, 25)}\n`);
  }
  return parts.join('');
}
