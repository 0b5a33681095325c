import { mkdir, mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { basename, join } from 'node:path';
import { type Program, startAgent, startTier } from './circ.ts';
import { Containerd, hostsToml } from './containerd.ts';
import { ensureImages } from './images.ts';
import { Namespace, Network } from './network.ts';
import { logsDir } from './paths.ts';
import { startRegistry, type Registry } from './registry.ts';
import { lastLines, type Output } from './run.ts';
import { toolPath } from './tools.ts';

/** The registry's name for clients. It resolves to nothing: only hosts.toml and the origins file know where it is. */
export const REGISTRY = 'registry.lab';

/** Where a node's containerd and other clients on the node find its agent. */
export const AGENT_URL = 'http://127.0.0.1:5050';

export interface LabOptions {
  /** containerd fetches each layer in ranges of so many bytes at the same time. */
  readonly parallelFetchBytes?: number;
}

/** A blob or manifest as a manifest names it: https://github.com/opencontainers/image-spec/blob/main/descriptor.md */
export interface Descriptor {
  readonly digest: string;
  readonly size: number;
}

/**
 * One origin, one shared tier and one node on a network without a way out:
 *
 *     origin (registry:5000) ── hub (tier:5060-5062) ── node (containerd, agent:5050-5051)
 */
export class Lab implements AsyncDisposable {
  readonly network: Network;
  readonly node: Namespace;
  readonly origin: Registry;
  readonly containerd: Containerd;
  /** Removed with the lab. */
  readonly directory: string;
  /** Kept until the next run. */
  readonly logs: string;
  readonly #originNamespace: Namespace;
  readonly #origins: string;
  readonly #stack: AsyncDisposableStack;
  #programs = 0;
  #tier: Program | undefined;
  #agent: Program | undefined;

  private constructor(parts: {
    network: Network;
    node: Namespace;
    originNamespace: Namespace;
    origin: Registry;
    containerd: Containerd;
    directory: string;
    logs: string;
    origins: string;
    stack: AsyncDisposableStack;
  }) {
    this.network = parts.network;
  }
}
