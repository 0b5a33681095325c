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

export interface OriginOptions {
  /** Where its content lies. Without it the origin has nothing at first, and may be pushed to. */
  readonly storage?: string;
  /** Its names for clients, besides {@link REGISTRY}. For circ each is a registry of its own. */
  readonly registries?: readonly string[];
  /** See `RegistryOptions`. */
  readonly htpasswd?: string | undefined;
}

/** A registry, alone on its machine. */
export interface OriginOnSite {
  readonly namespace: Namespace;
  readonly registry: Registry;
}

export interface ProgramOnSite {
  readonly namespace: Namespace;
  /** Of its directory, and of its log unless that has another. */
  readonly name: string;
  readonly logName?: string;
  readonly env?: Readonly<Record<string, string>>;
}

/** What every lab has: a network without a way out, directories, and the programs of circ there. */
export class Site implements AsyncDisposable {
  readonly network: Network;
  /** For the lab's own files; removed with it. */
  readonly directory: string;
  /** Kept until the next run. */
  readonly logs: string;
  /** The file that tells circ where registries are. Who starts them writes it. */
  readonly origins: string;
  readonly #stack: AsyncDisposableStack;

  private constructor(parts: Pick<Site, 'network' | 'directory' | 'logs'>, stack: AsyncDisposableStack) {
    this.network = parts.network;
    this.directory = parts.directory;
    this.logs = parts.logs;
    this.origins = join(parts.directory, 'origins.yaml');
    this.#stack = stack;
  }

  /** @param name begins the name of the directory of its logs */
  static async start(name: string): Promise<Site> {
    await mkdir(logsDir, { recursive: true });
    const logs = await mkdtemp(join(logsDir, `${name}-`));
    await using stack = new AsyncDisposableStack();
    const directory = await mkdtemp(join(tmpdir(), 'circ-e2e-'));
    stack.defer(async () => await rm(directory, { recursive: true }));
    const network = stack.use(await Network.create());
    return new Site({ network, directory, logs }, stack.move());
  }

  /** Starts a registry that is open to everybody and ends with the site, and tells circ of it. */
  async origin({ storage, registries = [], htpasswd }: OriginOptions): Promise<OriginOnSite> {
    const { directory } = this;
    const namespace = await this.network.attach('origin');
    const registry = this.use(
      await startRegistry({
        namespace,
        storage: storage ?? join(directory, 'storage'),
        directory,
        logFile: this.logFile('origin'),
        readOnly: storage !== undefined,
        ...(htpasswd !== undefined && { htpasswd }),
      }),
    );
    const entries = [REGISTRY, ...registries].map((name) => `  ${name}:\n    endpoint: http://${registry.address}\n`);
    await writeFile(this.origins, `registries:\n${entries.join('')}`);
    return { namespace, registry };
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
