import { cp, mkdir, realpath, symlink } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { craneIn } from './crane.ts';
import { librariesOf } from '../image/root-layers.ts';
import type { Namespace } from './network.ts';
import { ensureNpmCache, NPM_CACHE } from './npm-cache.ts';
import { repositoryRoot } from './paths.ts';
import { run } from './run.ts';

/** What building circ's image calls, besides Node and npm. */
const PROGRAMS = ['bash', 'chmod', 'env', 'sh', 'strip'].map((name) => `/usr/bin/${name}`);
const FILES = ['/usr/bin/ldd', '/etc/ssl/certs/ca-certificates.crt'];

/**
 * Pushes what stands for Docker Hub's `node` image where no network leads there: programs of this machine, which is a Debian
 * as well, the Node of this repository, this machine's npm, and a cache so that `npm ci` needs no network.
 *
 * @param directory for its files
 * @param tag of the registry in `namespace`
 */
export async function pushNodeBase(namespace: Namespace, directory: string, tag: string): Promise<void> {
  const root = join(directory, 'root');
  for (const place of ['root', 'tmp', 'usr/bin', 'usr/lib', 'usr/lib64', 'usr/local/bin', 'usr/local/lib']) {
    await mkdir(join(root, place), { recursive: true });
  }
  for (const merged of ['bin', 'lib', 'lib64']) await symlink(`usr/${merged}`, join(root, merged));
  const node = join(repositoryRoot, 'node_modules/node/bin/node');
  const libraries = [...PROGRAMS, node].flatMap(librariesOf);
  await run(['cp', '--dereference', '--parents', ...new Set([...PROGRAMS, ...FILES, ...libraries]), root]);
  await cp(node, join(root, 'usr/local/bin/node'), { dereference: true });
  const npm = dirname(dirname(await realpath((await run(['which', 'npm'])).stdout.trim())));
  await cp(npm, join(root, 'usr/local/lib/npm'), { recursive: true });
  await symlink('../lib/npm/bin/npm-cli.js', join(root, 'usr/local/bin/npm'));

  const layer = join(directory, 'root.tar.gz');
  await run(['tar', '-C', root, '--use-compress-program=gzip -1', '-cf', layer, '.']);
  const env = {
    PATH: '/usr/local/bin:/usr/bin',
    npm_config_cache: `/${NPM_CACHE}`,
    npm_config_offline: 'true',
    // What is in the cache is known by where it came from.
    npm_config_registry: (await run(['npm', 'config', 'get', 'registry'])).stdout.trim(),
  };
  const crane = craneIn({ namespace, home: directory, timeoutMs: 120_000 });
  const layers = [layer, await ensureNpmCache()].flatMap((file) => ['--new_layer', file]);
  await crane('append', '--oci-empty-base', ...layers, '--new_tag', tag);
  const platform = `linux/${process.arch === 'arm64' ? 'arm64' : 'amd64'}`;
  const settings = Object.entries(env).flatMap(([name, value]) => ['--env', `${name}=${value}`]);
  await crane('mutate', '--set-platform', platform, ...settings, '--tag', tag, tag);
}
