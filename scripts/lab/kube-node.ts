import { copyFile, mkdir, readFile, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { makeCgroups, removeCgroups } from './cgroups.ts';
import { Cri } from './cri.ts';
import { Daemon } from './daemon.ts';
import { cniPlugins } from './debian-tools.ts';
import type { KubeApi } from './kube-api.ts';
import { kubeToolPath } from './kube-tools.ts';
import type { Namespace } from './network.ts';
import { exists } from './paths.ts';
import type { SandboxImage } from './sandbox-image.ts';
import { toolPath } from './tools.ts';

export interface KubeNodeOptions {
  readonly namespace: Namespace;
  readonly kube: KubeApi;
  /** Everything it writes lies below. */
  readonly directory: string;
  readonly logs: string;
  /** Of the pods’ sandboxes. */
  readonly sandbox: SandboxImage;
  /** Without: pods use the node's own network. */
  readonly pods?: PodNetwork;
}

/** What pods need that do not use their node's network. */
export interface PodNetwork {
  /** Such as `10.78.1.0/24`, one for each node. */
  readonly subnet: string;
  /** Address of the cluster's name server. */
  readonly nameServer: string;
}

/**
 * Makes the namespaces a machine of its own: proc and sys of its own, nothing of other machines under /run, a disk of its own
 * in what kubelet and pods write to fixed paths, and kernel settings that kubelet may write without changing those of the real machine.
 */
const BOOT = `
set -e
mount --make-rprivate /
mount -t proc proc /proc
mkdir -p "$1/cgroup"
mount --rbind /sys/fs/cgroup "$1/cgroup"
mount -t sysfs sysfs /sys
mount --rbind "$1/cgroup" /sys/fs/cgroup
umount -l "$1/cgroup"
mount --bind "$5" /var/lib
for directory in /run /var/log; do mount -t tmpfs -o mode=755 tmpfs $directory; done
for setting in vm/overcommit_memory=1 vm/panic_on_oom=0 kernel/panic=10 kernel/panic_on_oops=1 \\
    kernel/keys/root_maxkeys=1000000 kernel/keys/root_maxbytes=25000000; do
  file="$1/$(echo "\${setting%=*}" | tr / _)"
  echo "\${setting#*=}" >"$file"
  mount --bind "$file" "/proc/sys/\${setting%=*}"
done
mkdir -p "$2" "$3"
mount --bind "$4" "$2"
mount --make-rshared /
touch "$1/booted"
# Reaps what is left to it.
while true; do sleep 1; done
`;

/** Where pods find the hosts.toml files of their node: as on k3s, because that is a place where a node has files of its own. */
const CERTS_DIR = '/var/lib/rancher/k3s/agent/etc/containerd/certs.d';

/** A directory of each node's own, for a volume. */
export const VOLUME = '/var/lib/volume';

const OWN_NAMESPACES = ['unshare', '--mount', '--pid', '--uts', '--ipc', '--fork', '--kill-child=KILL', '--'];

/** A node of a cluster: kubelet, containerd with the CRI, runc. Without `pods` its pods use the node's own network. */
export class KubeNode implements AsyncDisposable {
  readonly name: string;
  readonly #options: KubeNodeOptions;
  readonly #directory: string;
  #init: Daemon | undefined;
  readonly #daemons: Daemon[] = [];

  private constructor(options: KubeNodeOptions) {
    this.name = options.namespace.name;
    this.#options = options;
    this.#directory = options.directory;
  }

  static async start(options: KubeNodeOptions): Promise<KubeNode> {
    const { directory, pods } = options;
    for (const part of ['certs.d', 'boot', 'cni', 'lib']) await mkdir(join(directory, part), { recursive: true });
    if (pods) await writeFile(join(directory, 'cni/lab.conflist'), podNetwork(pods));
    const node = new KubeNode(options);
    try {
      await node.#configureKubelet();
      await node.#boot();
    } catch (error) {
      await node[Symbol.asyncDispose]();
      throw error;
    }
    return node;
  }

  /** A power cut, and the next start with the same disk; returns when kubelet runs. */
  async reboot(): Promise<void> {
    await this[Symbol.asyncDispose]();
    await this.#boot();
  }

  /** Where its containerd looks for hosts.toml files. */
  get certsDir(): string {
    return join(this.#directory, 'certs.d');
  }

  /** Writes the hosts.toml of a registry, or of all others. */
  async configureHosts(toml: string, registry = '_default'): Promise<void> {
    await mkdir(join(this.certsDir, registry), { recursive: true });
    await writeFile(join(this.certsDir, registry, 'hosts.toml'), toml);
  }

  /** Removes an image, as if the node had never had it. */
  async forget(reference: string): Promise<void> {
    using cri = new Cri(join(this.#directory, 'containerd.sock'));
    await cri.remove(reference);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    // A power cut: the kernel ends everything in the namespace, and then the programs outside that stand for it.
    await this.#init?.stop('SIGKILL');
    for (const daemon of this.#daemons.splice(0)) await daemon.stop('SIGKILL');
    await removeCgroups(cgroupOf(this.name));
  }

  async #boot(): Promise<void> {
    const { namespace, logs } = this.#options;
    const boot = join(this.#directory, 'boot');
    const places = [boot, CERTS_DIR, VOLUME, this.certsDir, join(this.#directory, 'lib')];
    await rm(join(boot, 'booted'), { force: true });
    const init = await Daemon.start({
      argv: namespace.command([...OWN_NAMESPACES, 'bash', '-c', BOOT, 'boot', ...places]),
      logFile: join(logs, `${this.name}-boot.log`),
    });
    this.#init = init;
    await init.until('booted', async () => await exists(join(boot, 'booted')));
    await this.#startContainerd(init);
    await this.#startKubelet(init);
  }

  async #startContainerd(init: Daemon): Promise<void> {
    const { sandbox } = this.#options;
    const file = join(this.#directory, 'containerd.toml');
    await writeFile(file, containerdConfiguration(this.#directory, sandbox.reference));
    const socket = join(this.#directory, 'containerd.sock');
    const ctr = [toolPath('ctr'), '--address', socket, '--namespace', 'k8s.io'];
    const daemon = await this.#start(init, 'containerd', [toolPath('containerd'), '--config', file]);
    await daemon.until('answering', async () => {
      const asked = await this.#start(init, 'ctr', [...ctr, 'images', 'import', sandbox.file]);
      return (await asked.ended).code === 0;
    });
  }

  /** Who kubelet is, and its settings. */
  async #configureKubelet(): Promise<void> {
    const { name } = this;
    const { kube, namespace, logs, pods } = this.#options;
    const names = `DNS:${name},IP:${namespace.address}`;
    const pair = await kube.pki.issue(name, `/O=system:nodes/CN=system:node:${name}`, names);
    await writeFile(join(this.#directory, 'kubeconfig'), await kube.pki.kubeconfig(kube.url, pair), { mode: 0o600 });
    for (const [from, to] of [
      [pair.certFile, 'kubelet.crt'],
      [pair.keyFile, 'kubelet.key'],
      [kube.pki.caFile, 'ca.crt'],
    ] as const) {
      await copyFile(from, join(this.#directory, to));
    }
    const podLogs = join(logs, `${name}-pods`);
    const configuration = kubeletConfiguration(this.#directory, cgroupOf(name), podLogs, pods?.nameServer);
    // kubelet reads YAML, and JSON is YAML.
    await writeFile(join(this.#directory, 'kubelet.yaml'), JSON.stringify(configuration));
  }

  async #startKubelet(init: Daemon): Promise<void> {
    const { name } = this;
    const { kube, namespace } = this.#options;
    await makeCgroups(cgroupOf(name));
    const places = { config: 'kubelet.yaml', kubeconfig: 'kubeconfig', 'root-dir': 'kubelet' };
    const flags = Object.entries(places).map(([flag, part]) => `--${flag}=${join(this.#directory, part)}`);
    const own = [`--hostname-override=${name}`, `--node-ip=${namespace.address}`];
    const daemon = await this.#start(init, 'kubelet', [kubeToolPath('kubelet'), ...flags, ...own]);
    await daemon.until('registered', async () => {
      await kube.get(`/api/v1/nodes/${name}`);
      return true;
    });
  }

  /** Runs a program on the node. */
  async #start({ pid }: Daemon, program: string, argv: readonly string[]): Promise<Daemon> {
    const children = await readFile(`/proc/${pid}/task/${pid}/children`, 'utf8');
    const enter = ['nsenter', '-t', children.trim(), '-n', '-m', '-p', '-u', '-i', '--'];
    const daemon = await Daemon.start({
      argv: [...enter, ...argv],
      logFile: join(this.#options.logs, `${this.name}-${program}.log`),
      env: { PATH: process.env['PATH'] },
    });
    this.#daemons.push(daemon);
    return daemon;
  }
}

function containerdConfiguration(directory: string, sandbox: string): string {
  return `version = 3
root = "${directory}/containerd"
state = "/run/containerd"
disabled_plugins = [
  "io.containerd.nri.v1.nri",
  "io.containerd.internal.v1.tracing",
  "io.containerd.tracing.processor.v1.otlp",
]
[grpc]
address = "${directory}/containerd.sock"
[plugins."io.containerd.internal.v1.opt"]
path = "${directory}/opt"
[plugins."io.containerd.cri.v1.images".pinned_images]
sandbox = "${sandbox}"
[plugins."io.containerd.cri.v1.images".registry]
config_path = "${directory}/certs.d"
[plugins."io.containerd.cri.v1.runtime"]
restrict_oom_score_adj = true # not every machine lets root raise its priority
[plugins."io.containerd.cri.v1.runtime".cni]
conf_dir = "${directory}/cni"
bin_dirs = ["${cniPlugins}"]
[plugins."io.containerd.cri.v1.runtime".containerd]
default_runtime_name = "runc"
[plugins."io.containerd.cri.v1.runtime".containerd.runtimes.runc]
runtime_type = "io.containerd.runc.v2"
runtime_path = "${toolPath('containerd-shim-runc-v2')}"
[plugins."io.containerd.cri.v1.runtime".containerd.runtimes.runc.options]
SystemdCgroup = false
`;
}

/** A bridge on the node, and an address on it for each pod: https://www.cni.dev/docs/spec/#configuration-format */
function podNetwork({ subnet }: PodNetwork): string {
  const ranges = [[{ subnet }]];
  const ipam = { type: 'host-local', dataDir: '/var/lib/cni', ranges, routes: [{ dst: '0.0.0.0/0' }] };
  const bridge = { type: 'bridge', bridge: 'pods', isGateway: true, ipMasq: false, hairpinMode: true, ipam };
  return JSON.stringify({ cniVersion: '1.0.0', name: 'lab', plugins: [bridge] });
}

/** https://kubernetes.io/docs/reference/config-api/kubelet-config.v1beta1/ */
function kubeletConfiguration(directory: string, cgroup: string, podLogs: string, nameServer?: string): object {
  const never = [
    'memory.available',
    'nodefs.available',
    'imagefs.available',
    'nodefs.inodesFree',
    'imagefs.inodesFree',
  ];
  return {
    apiVersion: 'kubelet.config.k8s.io/v1beta1',
    kind: 'KubeletConfiguration',
    containerRuntimeEndpoint: `unix://${directory}/containerd.sock`,
    podLogsDir: podLogs,
    tlsCertFile: join(directory, 'kubelet.crt'),
    tlsPrivateKeyFile: join(directory, 'kubelet.key'),
    authentication: { anonymous: { enabled: false }, x509: { clientCAFile: join(directory, 'ca.crt') } },
    failCgroupV1: false,
    cgroupDriver: 'cgroupfs',
    cgroupRoot: cgroup,
    enforceNodeAllocatable: [],
    oomScoreAdj: 0,
    makeIPTablesUtilChains: false,
    failSwapOn: false,
    // How full the machine is must not decide a test.
    evictionHard: Object.fromEntries(never.map((signal) => [signal, '0%'])),
    imageGCHighThresholdPercent: 100,
    imageGCLowThresholdPercent: 99,
    resolvConf: '',
    ...(nameServer !== undefined && { clusterDNS: [nameServer], clusterDomain: 'cluster.local' }),
  };
}

function cgroupOf(name: string): string {
  return `/circ-e2e-${process.pid}-${name}`;
}
