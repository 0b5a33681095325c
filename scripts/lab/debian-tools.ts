import { join } from 'node:path';
import { makeOnce } from './make-once.ts';
import { unpackPackages } from './debian.ts';
import { cacheDir } from './paths.ts';

/**
 * Clients of registries as Debian ships them: older than those of `tools.ts`, and what many nodes really run. And a browser,
 * with fonts.
 */
const packages = [
  'buildah',
  'chromium-common',
  'chromium-headless-shell',
  'containerd',
  'docker.io',
  'fonts-dejavu-core',
  'podman',
  'skopeo',
];

/** Raise it when the list above changes. */
const RECIPE = 2;

const root = join(cacheDir, `debian-${RECIPE}`);

/** Debian's names of this machine's architecture. */
const MULTIARCH = process.arch === 'arm64' ? 'aarch64-linux-gnu' : 'x86_64-linux-gnu';

/** Unpacks the packages into the cache, unless they are there. */
export async function ensureDebianTools(say: (line: string) => void): Promise<void> {
  await makeOnce(root, async (scratch) => {
    say(`apt-get download ${packages.join(' ')} …`);
    await unpackPackages(packages, scratch);
    return scratch;
  });
}

/** The environment in which a shell finds the unpacked programs, and they their libraries. */
export function debianEnv(): { readonly PATH: string; readonly LD_LIBRARY_PATH: string } {
  const path = ['usr/bin', 'usr/sbin'].map((directory) => join(root, directory));
  return {
    PATH: [...path, process.env['PATH']].join(':'),
    LD_LIBRARY_PATH: join(root, 'usr/lib', MULTIARCH),
  };
}

/** Where an unpacked program lies. */
export function debianPath(program: string): string {
  return join(root, program === 'dockerd' ? 'usr/sbin' : 'usr/bin', program);
}

/** The browser itself, not the script that calls it by a path of its own. */
export const browserPath = join(root, 'usr/lib/chromium/chromium-headless-shell');

/** The environment in which the browser finds its libraries, some of which are at home in /lib. */
export function browserEnv(): { readonly PATH: string; readonly LD_LIBRARY_PATH: string } {
  const { PATH, LD_LIBRARY_PATH } = debianEnv();
  return { PATH, LD_LIBRARY_PATH: [LD_LIBRARY_PATH, join(root, 'lib', MULTIARCH)].join(':') };
}

/** The unpacked fonts. */
export const fontsDirectory = join(root, 'usr/share/fonts');

/** Directory of the plugins that give pods a network; podman brings them. */
export const cniPlugins = join(root, 'usr/lib/cni');
