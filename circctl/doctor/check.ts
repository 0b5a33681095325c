import type { AgentConfig } from '../../agent/config.ts';
import type { TierAccess } from '../config.ts';
import type { ContainerdConfig } from './containerd-config.ts';

/** A mistake, and how to mend it. */
export interface Finding {
  /** One sentence, without a full stop. */
  readonly problem: string;
  /** What to do, a step a line. */
  readonly mend: readonly string[];
}

/** What a check says. */
export type Verdict =
  /** All is well; `told` says what was looked at. */
  | { readonly kind: 'ok'; readonly told: string }
  | { readonly kind: 'found'; readonly findings: readonly Finding[] }
  /** It cannot be told here, and why. */
  | { readonly kind: 'skipped'; readonly why: string };

/** The node that is looked at. */
export interface Node {
  /** What is put before the paths of files: empty, or where the node's own file system is seen (`/host`). */
  readonly root: string;
  /** The agent's settings, as its own environment says them. */
  readonly agent: AgentConfig;
  readonly access: TierAccess;
  readonly serverName: string | undefined;
  readonly containerd: ContainerdConfig;
  /** containerd's program, if it is seen. */
  readonly containerdProgram: string | undefined;
  /** An image to ask for, and with what. */
  readonly image: { readonly name: string; readonly authorization: string } | undefined;
}

/** One mistake that is looked for. */
export interface Check {
  readonly name: string;
  run(node: Node): Promise<Verdict>;
}

export function ok(told: string): Verdict {
  return { kind: 'ok', told };
}

export function skipped(why: string): Verdict {
  return { kind: 'skipped', why };
}

/** `found` if there is anything, else ok. */
export function verdictOf(findings: readonly Finding[], told: string): Verdict {
  return findings.length > 0 ? { kind: 'found', findings } : ok(told);
}
