import type { Namespace } from './network.ts';
import { toolPath } from './tools.ts';

export interface CraneOptions {
  /** From where registries are reached. */
  readonly namespace: Namespace;
  /** Holds `.docker/config.json`, if a registry wants a password. */
  readonly home: string;
  /** Bound of each call; default one minute. */
  readonly timeoutMs?: number;
}

/** Runs crane with these arguments. @returns what it prints */
export type Crane = (...args: readonly string[]) => Promise<string>;

/** crane in a network namespace, with logins of its own. */
export function craneIn({ namespace, home, ...options }: CraneOptions): Crane {
  const env = { PATH: process.env['PATH'], HOME: home };
  return async (...args) => (await namespace.run([toolPath('crane'), ...args], { ...options, env })).stdout.trim();
}
