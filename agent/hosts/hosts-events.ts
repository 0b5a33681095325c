import { Counter, Gauge, type Registry as MetricsRegistry } from 'prom-client';
import type { Logger } from '../../service/log.ts';
import { codeOf } from './file-errors.ts';
import type { HostsFile } from './hosts-file.ts';
import { type Mirror, mirrorLines } from './mirror.ts';

/**
 * How a hosts.toml stands: `managed` (our lines are in it), `own` (its own lines name our mirror), `left` (broken, or
 * otherwise not ours to change), `unwritable`, `contested` (somebody takes our lines out again and again).
 */
export const HOSTS_STATES = ['managed', 'own', 'left', 'unwritable', 'contested'] as const;
export type HostsState = (typeof HOSTS_STATES)[number];

/** One function per thing that happens to hosts.toml files: metrics and log line together. Each is told once. */
export interface HostsEvents {
  readonly installed: (file: HostsFile) => void;
  readonly mended: (file: HostsFile) => void;
  readonly notFirst: (path: string) => void;
  readonly left: (path: string, reason: string, effect: string) => void;
  readonly unwritable: (paths: readonly string[], error: unknown) => void;
  readonly contested: (path: string, resumeMs: number) => void;
  /** The copy of our certificate that containerd trusts is a new one. */
  readonly certified: (path: string) => void;
  readonly counted: (states: ReadonlyMap<HostsState, number>) => void;
}

export function hostsEvents(log: Logger, metrics: MetricsRegistry, mirror: Mirror): HostsEvents {
  const registers = [metrics];
  const files = new Gauge({
    name: 'circ_hosts_toml_files',
    help: 'hosts.toml files by how they stand: managed and own lead to this agent, the others may not',
    labelNames: ['state'],
    registers,
  });
  const writes = new Counter({
    name: 'circ_hosts_toml_writes_total',
    help: 'hosts.toml files that were given our lines; mended: because somebody had changed them',
    labelNames: ['reason'],
    registers,
  });

  return {
    installed: (file) => {
      writes.inc({ reason: 'installed' });
      log.info({ ...where(file), mirror: mirror.url }, 'hosts.toml leads to this agent');
    },
    mended: (file) => {
      writes.inc({ reason: 'mended' });
      log.warn(
        { ...where(file), mirror: mirror.url },
        'hosts.toml was changed by others; it leads to this agent again',
      );
    },
    notFirst: (path) => {
      log.warn({ file: path, mirror: mirror.url }, 'hosts.toml names this agent, but another host first');
    },
    left: (path, reason, effect) => {
      log.warn({ file: path, reason, effect }, 'hosts.toml is left as it is');
    },
    unwritable: (paths, error) => {
      const todo = 'make them writable to the agent, or put these lines into each by hand, before the first [host';
      const reason = error instanceof Error ? error.message : String(error);
      const facts = { files: paths, code: codeOf(error), reason, todo, lines: mirrorLines(mirror) };
      log.warn(facts, 'hosts.toml files cannot be written; pulls may bypass this agent');
    },
    contested: (path, resumeMs) => {
      const todo = 'find out what rewrites this file, and tell it about the mirror';
      log.warn({ file: path, resumeMs, todo }, 'hosts.toml is changed back again and again; it is left alone for now');
    },
    certified: (path) => log.info({ file: path }, 'containerd is given our certificate'),
    counted: (states) => {
      for (const state of HOSTS_STATES) files.set({ state }, states.get(state) ?? 0);
    },
  };
}

/** Where a link leads is told as well: the agent writes there. */
function where({ path, target }: HostsFile): object {
  return { file: path, ...(target !== path && { target }) };
}
