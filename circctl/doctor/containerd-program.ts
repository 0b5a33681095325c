import { accessSync, constants } from 'node:fs';
import { join } from 'node:path';

const USUAL = [
  '/usr/bin',
  '/usr/local/bin',
  '/opt/bin',
  '/var/lib/rancher/k3s/data/current/bin',
  '/var/lib/rancher/rke2/bin',
];

/** Where containerd is, if it is seen; in a pod it is not. @param path of this machine's programs, if `root` is its own */
export function findContainerd(root: string, path: string): string | undefined {
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
