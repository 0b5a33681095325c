import { debianPath } from './debian-tools.ts';
import { toolPath } from './tools.ts';

/** The containerds of the lab: the newest, one of the first with a transfer service for the CRI, and Debian 12's. */
export const containerdVersions = ['2.4', '2.1', '1.6'] as const;

export type ContainerdVersion = (typeof containerdVersions)[number];

/** Where a version's daemon and its ctr lie. */
export const containerdPrograms: Readonly<
  Record<ContainerdVersion, { readonly daemon: string; readonly ctr: string }>
> = {
  '2.4': { daemon: toolPath('containerd'), ctr: toolPath('ctr') },
  '2.1': { daemon: toolPath('containerd-2.1'), ctr: toolPath('ctr-2.1') },
  '1.6': { daemon: debianPath('containerd'), ctr: debianPath('ctr') },
};

/** Whether ctr leaves the pull to the daemon unless it is told otherwise. Else ctr resolves and fetches by itself. */
export function hasTransferService(version: ContainerdVersion): boolean {
  return version !== '1.6';
}

export interface Configuration {
  /** Everything lies below. */
  readonly directory: string;
  readonly socket: string;
  readonly certsDir: string;
  /** See `ContainerdOptions`. */
  readonly parallelFetchBytes?: number;
}

/** A configuration file: pulls by ctr and by the CRI, all directories of its own, nothing shared with the machine. */
export function containerdConfiguration(version: ContainerdVersion, configuration: Configuration): string {
  const { directory, socket } = configuration;
  return `version = ${version === '1.6' ? 2 : 3}
root = "${directory}/root"
state = "${directory}/state"
disabled_plugins = [
  "io.containerd.nri.v1.nri",
  "io.containerd.internal.v1.tracing",
  "io.containerd.tracing.processor.v1.otlp",
]
[grpc]
address = "${socket}"
[plugins."io.containerd.internal.v1.opt"]
path = "${directory}/opt"
${version === '1.6' ? criOf1(configuration) : criOf2(configuration)}`;
}

function criOf1({ directory, certsDir }: Configuration): string {
  return `[plugins."io.containerd.grpc.v1.cri"]
restrict_oom_score_adj = true
[plugins."io.containerd.grpc.v1.cri".registry]
config_path = "${certsDir}"
[plugins."io.containerd.grpc.v1.cri".cni]
bin_dir = "${directory}/cni"
conf_dir = "${directory}/cni"
`;
}

function criOf2({ directory, certsDir, parallelFetchBytes }: Configuration): string {
  const transfer = parallelFetchBytes === undefined ? '' : `concurrent_layer_fetch_buffer = ${parallelFetchBytes}`;
  return `[plugins."io.containerd.cri.v1.images".registry]
config_path = "${certsDir}"
[plugins."io.containerd.cri.v1.runtime"]
restrict_oom_score_adj = true
[plugins."io.containerd.cri.v1.runtime".cni]
bin_dirs = ["${directory}/cni"]
conf_dir = "${directory}/cni"
[plugins."io.containerd.transfer.v1.local"]
${transfer}
`;
}
