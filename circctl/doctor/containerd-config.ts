import { globSync, readFileSync, statSync } from 'node:fs';
import { dirname, isAbsolute, join } from 'node:path';
import { type TomlTable, parse } from 'smol-toml';
import { UsageError } from '../command.ts';

/** How a distribution of Kubernetes keeps containerd's files. */
export interface Distribution {
  readonly name: string;
  /** containerd's own configuration. */
  readonly config: string;
  /** Where its hosts.toml files usually are. */
  readonly certsDirectory: string;
  /** How `config_path` is set there. */
  readonly how: string;
}

const rancher = (name: string, directory: string): Distribution => ({
  name,
  config: `/var/lib/rancher/${directory}/agent/etc/containerd/config.toml`,
  certsDirectory: `/var/lib/rancher/${directory}/agent/etc/containerd/certs.d`,
  how: `${name} writes this file itself, and sets it; if a template of yours (config-v3.toml.tmpl, config.toml.tmpl) does not, restart it with one that does`,
});

/** The first one whose file is there is the one; the plain one comes last. */
export const DISTRIBUTIONS: readonly Distribution[] = [
  rancher('k3s', 'k3s'),
  rancher('RKE2', 'rke2'),
  {
    name: 'Talos',
    config: '/etc/cri/containerd.toml',
    certsDirectory: '/etc/cri/conf.d/hosts',
    how: 'Talos sets it; see machine.files for /etc/cri/conf.d',
  },
  {
    name: 'containerd',
    config: '/etc/containerd/config.toml',
    certsDirectory: '/etc/containerd/certs.d',
    how: 'then restart containerd (running containers go on)',
  },
];

/** What containerd's configuration says of registries. */
export interface ContainerdConfig {
  readonly distribution: Distribution;
  /** The file; undefined if there is none, so that containerd's own defaults hold. */
  readonly file: string | undefined;
  /** Why it cannot be read or parsed. */
  readonly trouble: string | undefined;
  /** As it is written; undefined if it is not set, and empty if it is set to nothing. */
  readonly configPath: string | undefined;
  /** Of the old way, what containerd refuses beside `config_path`: logins in `configs`, as k3s writes them, it takes. */
  readonly oldKeys: readonly string[];
  /** Pulls are left to the CRI plugin, which reads a list of directories, not to the transfer service, which does not. */
  readonly pullsLocally: boolean;
  /** The plugin whose table has to have it. */
  readonly plugin: string;
}

/** `version = 3` (containerd 2.0 and later), and before. */
const PLUGINS = { new: 'io.containerd.cri.v1.images', old: 'io.containerd.grpc.v1.cri' };
/** Each keeps containerd 2.1 and later from its transfer service. */
const LOCAL = ['discard_unpacked_layers', 'use_local_image_pull'];
const MAX_IMPORTS = 100;

/** @param file another one than the distribution's. @throws UsageError if this user may not look for it */
export function readContainerdConfig(root: string, file?: string): ContainerdConfig {
  const there = DISTRIBUTIONS.find(({ config }) => isThere(join(root, config)));
  const distribution = DISTRIBUTIONS.find(({ config }) => config === file) ?? there ?? lastOf(DISTRIBUTIONS);
  const path = file ?? distribution.config;
  const nothing = { distribution, configPath: undefined, oldKeys: [], pullsLocally: false, plugin: PLUGINS.new };
  if (!isThere(join(root, path))) return { ...nothing, file: undefined, trouble: undefined };
  try {
    const files = [path, ...importsOf(root, path)];
    const tables = files.map((each) => parse(readFileSync(join(root, each), 'utf8'), { integersAsBigInt: false }));
    const plugin = Number(tables[0]?.['version'] ?? 1) >= 3 ? PLUGINS.new : PLUGINS.old;
    // What is imported has the last word, key by key.
    const registries = tables.map((table) => at(table, 'plugins', plugin, 'registry'));
    const paths = registries.map((registry) => registry?.['config_path']).filter((value) => typeof value === 'string');
    const images = tables.map((table) =>
      at(table, 'plugins', plugin, ...(plugin === PLUGINS.old ? ['containerd'] : [])),
    );
    return {
      distribution,
      file: path,
      trouble: undefined,
      configPath: paths.at(-1),
      oldKeys: oldKeysOf(registries, plugin),
      pullsLocally: images.some((table) => LOCAL.some((key) => table?.[key] === true)),
      plugin,
    };
  } catch (error) {
    const [trouble] = (error instanceof Error ? error.message : String(error)).split('\n');
    return { ...nothing, file: path, trouble };
  }
}

/** Where containerd looks for hosts.toml, as far as that is one directory. */
export function certsDirectoryOf({ configPath, distribution }: ContainerdConfig): string {
  return configPath === undefined || configPath === '' || configPath.includes(':')
    ? distribution.certsDirectory
    : configPath;
}

/** containerd 2 does not know `tls` there any more, and passes it over. */
function oldKeysOf(registries: readonly (TomlTable | undefined)[], plugin: string): string[] {
  const configs = registries.flatMap((registry) => Object.values(at(registry, 'configs') ?? {}));
  const hasTls = plugin === PLUGINS.old && configs.some((config) => isTable(config) && isTable(config['tls']));
  const hasMirrors = registries.some((registry) => isUsed(registry?.['mirrors']));
  return [...(hasMirrors ? ['mirrors'] : []), ...(hasTls ? ['configs.…tls'] : [])];
}

/** k3s and RKE2 let nobody but root look into their directories: that is not as if there were none. */
function isThere(path: string): boolean {
  try {
    return statSync(path, { throwIfNoEntry: false }) !== undefined;
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    throw new UsageError(`${path} cannot be looked at (${code}): run this as root`);
  }
}

function importsOf(root: string, path: string): string[] {
  const { imports = [] } = parse(readFileSync(join(root, path), 'utf8'), { integersAsBigInt: false });
  const patterns = (Array.isArray(imports) ? imports : []).filter((each) => typeof each === 'string');
  const absolute = patterns.map((each) => (isAbsolute(each) ? each : join(dirname(path), each)));
  const found = absolute.flatMap((each) => globSync(join(root, each)).toSorted());
  return found.slice(0, MAX_IMPORTS).map((each) => each.slice(root.length));
}

function at(table: TomlTable | undefined, ...keys: string[]): TomlTable | undefined {
  let value: unknown = table;
  for (const key of keys) value = isTable(value) ? value[key] : undefined;
  return isTable(value) ? value : undefined;
}

function isTable(value: unknown): value is TomlTable {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

function isUsed(value: unknown): boolean {
  return isTable(value) && Object.keys(value).length > 0;
}

function lastOf(list: readonly Distribution[]): Distribution {
  const last = list.at(-1);
  if (!last) throw new Error('there is at least one distribution');
  return last;
}
