import type { Dirent, Stats } from 'node:fs';
import { lstat, mkdir, readFile, readdir, realpath, rmdir, stat } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { codeOf, missing } from './file-errors.ts';
import { replaceFile } from './replace-file.ts';

/** The directory of all registries that have none of their own. */
export const DEFAULT_REGISTRY = '_default';
/** Far more than any hosts.toml has; what is larger is none. */
const MAX_BYTES = 1024 * 1024;
/** Directories whose names are no hosts (`_backup`, `..data`, `lost+found`) mean nothing to containerd. */
const HOST_NAME = /^[A-Za-z0-9[][A-Za-z0-9.:_[\]-]*$/;

/** A hosts.toml as it was found. */
export interface HostsFile {
  /** Where containerd looks for it. */
  readonly path: string;
  /** Where its bytes lie or would lie: another path if links lead there. */
  readonly target: string;
  /** Undefined if there is no file. */
  readonly content: { readonly bytes: Buffer; readonly stats: Stats } | undefined;
}

/** Why a hosts.toml can be neither read nor written, in words that end a sentence. */
export interface Unusable {
  readonly path: string;
  readonly unusable: string;
}

/**
 * Names of the directories that containerd may look into, `_default` aside; none if the directory is not there.
 * A link that leads nowhere is none: containerd goes on to `_default` then.
 */
export async function listRegistries(directory: string): Promise<string[]> {
  const entries = await readdir(directory, { withFileTypes: true }).catch(missing<Dirent[]>([]));
  const names: string[] = [];
  for (const entry of entries) {
    if (!HOST_NAME.test(entry.name)) continue;
    const isDirectory = entry.isSymbolicLink()
      ? await stat(join(directory, entry.name)).then((stats) => stats.isDirectory(), missing(false))
      : entry.isDirectory();
    if (isDirectory) names.push(entry.name);
  }
  return names.toSorted();
}

/** Reads the hosts.toml of a registry's directory. @throws what the file system says */
export async function readHostsFile(registryDirectory: string): Promise<HostsFile | Unusable> {
  const path = join(registryDirectory, 'hosts.toml');
  const link = await lstat(path).catch(missing(undefined));
  if (!link) return { path, target: join(await whereIs(registryDirectory), 'hosts.toml'), content: undefined };
  const target = await realpath(path).catch(missing(undefined));
  if (target === undefined) return { path, unusable: 'it is a link that leads nowhere' };
  const stats = await stat(target);
  if (!stats.isFile()) return { path, unusable: 'it is no file' };
  if (stats.size > MAX_BYTES) return { path, unusable: 'it is too large to be a hosts.toml' };
  return { path, target, content: { bytes: await readFile(target), stats } };
}

/**
 * Replaces a hosts.toml in one step, mode and owner kept, or makes it. Links stay links.
 *
 * @returns false, and does nothing, if the file is not as it was read any more
 * @throws what the file system says; then the file is as it was
 */
export async function writeHostsFile({ path, target, content }: HostsFile, bytes: Buffer): Promise<boolean> {
  return await replaceFile(target, bytes, {
    like: content?.stats,
    isStillRight: async () => {
      const now = await readHostsFile(dirname(path));
      return 'content' in now && now.target === target && sameBytes(now.content?.bytes, content?.bytes);
    },
  });
}

/**
 * Makes a directory with all that are missing above it. (Node's own `recursive` says ENOENT where the file system says
 * EROFS.)
 *
 * @returns how many were made
 */
export async function makeDirectory(path: string): Promise<number> {
  try {
    await mkdir(path, 0o755);
    return 1;
  } catch (error) {
    if (codeOf(error) === 'EEXIST' && (await stat(path).catch(missing(undefined)))?.isDirectory()) return 0;
    if (codeOf(error) !== 'ENOENT' || dirname(path) === path) throw error;
    const above = await makeDirectory(dirname(path));
    await mkdir(path, 0o755);
    return above + 1;
  }
}

/** Removes a directory that an agent has made, and so many in all upwards, as far as they are empty. */
export async function removeDirectories(lowest: string, count: number): Promise<void> {
  let directory = lowest;
  for (let left = count; left > 0; left -= 1) {
    if (!(await rmdir(directory).then(() => true, isInUse))) return;
    directory = dirname(directory);
  }
}

/**
 * Top-level lines of hosts.toml that name the certificate files beside it. Without a hosts.toml containerd uses them
 * for the registry; with one, only what it names: https://github.com/containerd/containerd/blob/main/docs/hosts.md
 */
export async function certificateLines(registryDirectory: string): Promise<string[]> {
  const entries = await readdir(registryDirectory, { withFileTypes: true }).catch(missing<Dirent[]>([]));
  const names = entries.flatMap((entry) => (entry.isDirectory() ? [] : [entry.name])).toSorted();
  const authorities = names.filter((name) => name.endsWith('.crt'));
  const clients = names
    .filter((name) => name.endsWith('.cert'))
    .map((name) => {
      const key = name.replace(/\.cert$/, '.key');
      return [name, names.includes(key) ? key : name];
    });
  return [
    ...(authorities.length > 0 ? [`ca = ${JSON.stringify(authorities)}`] : []),
    ...(clients.length > 0 ? [`client = ${JSON.stringify(clients)}`] : []),
  ];
}

/** The path without links; the path itself if nothing is there. */
async function whereIs(path: string): Promise<string> {
  return await realpath(path).catch(missing(path));
}

function sameBytes(one: Buffer | undefined, other: Buffer | undefined): boolean {
  return one === undefined || other === undefined ? one === other : one.equals(other);
}

function isInUse(error: unknown): false {
  if (['ENOTEMPTY', 'EEXIST', 'EBUSY', 'ENOENT'].includes(codeOf(error))) return false;
  throw error;
}
