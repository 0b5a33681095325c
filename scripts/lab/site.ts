import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type Program, startAgent, startTier } from './circ.ts';
import { KubeApi } from './kube-api.ts';
import { type Namespace, Network } from './network.ts';
import { logsDir } from './paths.ts';
import { type Registry, startRegistry } from './registry.ts';

/** The registry's name for clients. It resolves to nothing: only hosts.toml and the origins file know where it is. */
export const REGISTRY = 'registry.lab';

/** Where the leases of a site's replicas are. */
const NAMESPACE = 'circ-system';

export interface SiteOptions {
  /** Begins the name of the directory of its logs. */
  readonly name: string;
  /**
   * Where the origin's content lies; may be made in the directory that it is given. Without it the origin has nothing at
   * first, and may be pushed to.
   */
  readonly storage?: (directory: string) => Promise<string>;
  /** Names of the origin for clients, besides {@link REGISTRY}. For circ each is a registry of its own. */
  readonly registries?: readonly string[];
  /** See `RegistryOptions`. */
  readonly htpasswd?: string;
}

export interface ProgramOnSite {
  readonly namespace: Namespace;
  /** Of its directory, and of its log unless that has another. */
  readonly name: string;
  readonly logName?: string;
  readonly env?: Readonly<Record<string, string>>;
}

/** What every lab has: a network without a way out, an origin on it, and the programs of circ that know it. */
export class Site implements AsyncDisposable {
  readonly network: Network;
  readonly originNode: Namespace;
  readonly origin: Registry;
  /** For the lab's own files; removed with it. */
  readonly directory: string;
  /** Kept until the next run. */
  readonly logs: string;
  /** The file that tells circ where the origin is. */
  readonly origins: string;
  readonly #stack: AsyncDisposableStack;

  private constructor(
    parts: Pick<Site, 'network' | 'originNode' | 'origin' | 'directory' | 'logs' | 'origins'>,
    stack: AsyncDisposableStack,
  ) {
    this.network = parts.network;
    this.originNode = parts.originNode;
    this.origin = parts.origin;
    this.directory = parts.directory;
    this.logs = parts.logs;
    this.origins = parts.origins;
    this.#stack = stack;
  }

  static async start({ name, storage, registries = [], htpasswd }: SiteOptions): Promise<Site> {
    await mkdir(logsDir, { recursive: true });
    const logs = await mkdtemp(join(logsDir, `${name}-`));
    await using stack = new AsyncDisposableStack();
    const directory = await mkdtemp(join(tmpdir(), 'circ-e2e-'));
    stack.defer(async () => await rm(directory, { recursive: true }));
    const network = stack.use(await Network.create());
    const originNode = await network.attach('origin');
    const origin = stack.use(
      await startRegistry({
        namespace: originNode,
        storage: storage ? await storage(directory) : join(directory, 'storage'),
        directory,
        logFile: join(logs, 'origin.log'),
        readOnly: storage !== undefined,
        ...(htpasswd !== undefined && { htpasswd }),
      }),
    );
    const origins = join(directory, 'origins.yaml');
    const entries = [REGISTRY, ...registries].map((each) => `  ${each}:\n    endpoint: http://${origin.address}\n`);
    await writeFile(origins, `registries:\n${entries.join('')}`);
    return new Site({ network, originNode, origin, directory, logs, origins }, stack.move());
  }

  /** Ends `part` with the site, before what was started earlier. */
  use<Part extends AsyncDisposable>(part: Part): Part {
    return this.#stack.use(part);
  }

  logFile(name: string): string {
    return join(this.logs, `${name}.log`);
  }

  /** Starts a shared tier; the caller ends it, or `use`. */
  async tier(program: ProgramOnSite): Promise<Program> {
    return await startTier(this.#options(program));
  }

  /** Starts an agent that asks the shared tier in the namespace `tier`; the caller ends it, or `use`. */
  async agent(tier: Namespace, program: ProgramOnSite): Promise<Program> {
    return await startAgent(tier, this.#options(program));
  }

  /** Starts a Kubernetes API that ends with the site. */
  async kubernetes(namespace: Namespace = this.network.hub): Promise<KubeApi> {
    return this.use(await KubeApi.start({ namespace, directory: join(this.directory, 'kube'), logs: this.logs }));
  }

  /** Starts a Kubernetes API, with a place for the leases of replicas. */
  async leases(namespace?: Namespace): Promise<SiteLeases> {
    const kube = await this.kubernetes(namespace);
    await kube.createTierNamespace(NAMESPACE, 'circ-tier');
    const kubeconfig = join(this.directory, 'tier.kubeconfig');
    const user = await kube.pki.issue('tier', '/CN=circ-tier');
    await writeFile(kubeconfig, await kube.pki.kubeconfig(kube.url, user), { mode: 0o600 });
    return new SiteLeases(kube, kubeconfig);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#stack.disposeAsync();
  }

  #options({ namespace, name, logName = name, env = {} }: ProgramOnSite) {
    const { origins } = this;
    return { namespace, directory: join(this.directory, name), logFile: this.logFile(logName), origins, env };
  }
}

/** Where the replicas of a site take turns. */
export class SiteLeases {
  readonly kube: KubeApi;
  readonly #kubeconfig: string;

  constructor(kube: KubeApi, kubeconfig: string) {
    this.kube = kube;
    this.#kubeconfig = kubeconfig;
  }

  /** For the environment of a replica. */
  env(podName: string): Record<string, string> {
    return {
      CIRC_TIER_LEASES: 'kubernetes',
      CIRC_TIER_LEASE_DURATION: '3s',
      CIRC_POD_NAMESPACE: NAMESPACE,
      CIRC_POD_NAME: podName,
      KUBECONFIG: this.#kubeconfig,
    };
  }

  /** Those that are there. */
  async list(): Promise<Lease[]> {
    return (await this.kube.get<{ items: Lease[] }>(`/apis/coordination.k8s.io/v1/namespaces/${NAMESPACE}/leases`))
      .items;
  }

  /** What the API was asked about them, so far. */
  async calls() {
    return await this.kube.leaseCalls(NAMESPACE);
  }
}

export interface Lease {
  readonly metadata: { readonly name: string };
  readonly spec: { readonly holderIdentity: string };
}
