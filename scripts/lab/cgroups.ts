import { copyFile, mkdir, readdir, rmdir } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { exists } from './paths.ts';

const CGROUPS = '/sys/fs/cgroup';

/** The node's own cgroup in each hierarchy; on machines with one hierarchy (v2) kubelet makes it itself. */
export async function makeCgroups(cgroup: string): Promise<void> {
  for (const hierarchy of await hierarchies()) {
    const [own, parent] = [join(CGROUPS, hierarchy, cgroup), join(CGROUPS, hierarchy)];
    await mkdir(own, { recursive: true });
    if (hierarchy !== 'cpuset') continue;
    for (const file of ['cpuset.cpus', 'cpuset.mems']) await copyFile(join(parent, file), join(own, file));
  }
}

/** Once all processes in them have ended. @throws when they do not */
export async function removeCgroups(cgroup: string): Promise<void> {
  // What was in them is killed, and takes a moment to end.
  for (const end = performance.now() + 5_000; performance.now() < end; await sleep(50)) {
    const left = [];
    for (const hierarchy of ['', ...(await hierarchies())]) {
      const own = join(CGROUPS, hierarchy, cgroup);
      if (!(await exists(own))) continue;
      const below = await readdir(own, { recursive: true, withFileTypes: true });
      const groups = below.filter((entry) => entry.isDirectory()).map(({ parentPath, name }) => join(parentPath, name));
      left.push(own, ...groups);
    }
    if (left.length === 0) return;
    const deepestFirst = left.toSorted((a, b) => b.length - a.length);
    for (const group of deepestFirst) await rmdir(group).catch(() => undefined);
  }
  throw new Error(`processes in ${cgroup} do not end`);
}

async function hierarchies(): Promise<string[]> {
  const entries = await readdir(CGROUPS, { withFileTypes: true });
  const isOne = entries.some(({ name }) => name === 'cgroup.controllers');
  return isOne ? [] : entries.filter((entry) => entry.isDirectory()).map(({ name }) => name);
}
