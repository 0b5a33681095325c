import { chmod, mkdir, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import type { Finding, Verdict } from '../../../circctl/doctor/check.ts';
import { formatAddress } from '../../../service/units.ts';
import { REGISTRY, startHouse } from '../../support/house.ts';
import { circctl } from '../../support/run-circctl.ts';
import { tmpDir } from '../../support/tmp-dir.ts';

export const CERTS = '/etc/containerd/certs.d';
export const CONFIG = '/etc/containerd/config.toml';
const PROGRAM = '/usr/bin/containerd';

/** How containerd 2 is configured for it. */
export function configWith(registry: string): string {
  return `version = 3\n[plugins.'io.containerd.cri.v1.images'.registry]\n${registry}\n`;
}

/** The names of checks, and what they say. */
export type Diagnosis = Readonly<Record<string, Verdict>>;

/** A node in a directory, and a house whose agent looks after its hosts.toml files: all is well at first. */
export async function healthyNode({
  certs = CERTS,
  ...options
}: { certs?: string; tier?: Record<string, string> } = {}) {
  const running = new AsyncDisposableStack();
  const { path: root } = running.use(await tmpDir());
  const put = async (path: string, text: string, mode = 0o644): Promise<void> => {
    await mkdir(dirname(join(root, path)), { recursive: true });
    await writeFile(join(root, path), text);
    await chmod(join(root, path), mode);
  };
  await put(CONFIG, configWith(`config_path = "${certs}"`));
  await put(PROGRAM, '#!/bin/sh\necho containerd github.com/containerd/containerd/v2 2.4.2 0123abc\n', 0o755);
  const house = running.use(await startHouse({ agent: { CIRC_CONTAINERD_CERTS_DIR: join(root, certs) }, ...options }));
  const env = {
    CIRC_AGENT_LISTEN: formatAddress(house.agent.mirror),
    CIRC_SHARED_TIER: formatAddress(house.tierGrpc),
    CIRC_CONTAINERD_CERTS_DIR: certs,
    CIRC_AGENT_CACHE_DIR: house.agentDirectory,
    CIRC_AGENT_MIN_FREE: '0%',
  };
  const diagnose = async (more: Record<string, string> = {}, args: string[] = [], input = ''): Promise<Diagnosis> => {
    const rooted = ['doctor', '--json', '--root', root, ...args];
    const ran = await circctl(rooted, { env: { ...env, ...more }, input });
    if (ran.code === 2) throw new Error(ran.err);
    return Object.fromEntries(
      ran.json().map(({ check, ...verdict }) => [check as string, verdict as unknown as Verdict]),
    );
  };
  return { root, house, put, env, diagnose, registry: REGISTRY, [Symbol.asyncDispose]: () => running.disposeAsync() };
}

/** The names of the checks that found something. */
export function foundIn(diagnosis: Diagnosis): string[] {
  return Object.entries(diagnosis).flatMap(([name, { kind }]) => (kind === 'found' ? [name] : []));
}

/** What one check has found. @throws when that is nothing, or there is no mend for it */
export function findingsOf(diagnosis: Diagnosis, name: string): readonly Finding[] {
  const verdict = diagnosis[name];
  if (verdict?.kind !== 'found') throw new Error(`${name}: ${JSON.stringify(verdict)}`);
  if (verdict.findings.some(({ mend }) => mend.length === 0)) throw new Error('nothing says how to mend it');
  return verdict.findings;
}
