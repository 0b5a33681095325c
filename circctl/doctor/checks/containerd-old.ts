import { execFile } from 'node:child_process';
import { accessSync, constants } from 'node:fs';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { type Check, type Node, ok, skipped } from '../check.ts';

const run = promisify(execFile);
const RUN_MS = 5_000;

/** hosts.toml came with 1.5; the oldest one that circ is tried with is 1.6. */
const OLDEST = [1, 6] as const;
const USUAL = [
  '/usr/bin',
  '/usr/local/bin',
  '/opt/bin',
  '/var/lib/rancher/k3s/data/current/bin',
  '/var/lib/rancher/rke2/bin',
];

/** Does this containerd know hosts.toml? */
export const containerdOld: Check = {
  name: 'containerd-too-old',
  async run(node) {
    const program = find(node);
    if (program === undefined) return skipped('containerd’s program is not found; --containerd says where it is');
    let text: string;
    try {
      ({ stdout: text } = await run(program, ['--version'], { timeout: RUN_MS, env: {} }));
    } catch (error) {
      return skipped(`${program} --version cannot be run here: ${(error as Error).message.split('\n')[0]}`);
    }
    const [, version, major, minor] = / v?((\d+)\.(\d+)\.\S+)/.exec(text) ?? [];
    if (version === undefined) return skipped(`${program} --version tells no version`);
    const isOld = Number(major) < OLDEST[0] || (Number(major) === OLDEST[0] && Number(minor) < OLDEST[1]);
    if (!isOld) return ok(`containerd is ${version}`);
    const problem = `containerd is ${version}; circ needs ${OLDEST.join('.')} or later, because older ones do not know hosts.toml well`;
    return { kind: 'found', findings: [{ problem, mend: ['upgrade containerd, or the distribution that brings it'] }] };
  },
};

function find({ root, containerdProgram, path }: Node): string | undefined {
  if (containerdProgram !== undefined) return containerdProgram;
  const directories = [...USUAL.map((directory) => join(root, directory)), ...(root === '' ? path.split(':') : [])];
  return directories.map((directory) => join(directory, 'containerd')).find(isProgram);
}

function isProgram(path: string): boolean {
  try {
    accessSync(path, constants.X_OK);
    return true;
  } catch {
    return false;
  }
}
