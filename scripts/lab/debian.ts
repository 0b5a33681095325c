import { mkdir, readdir, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { run } from './run.ts';

/** Programs the lab calls, and their packages. What every Debian has (util-linux, tar, dpkg) is not listed. */
const programs: Readonly<Record<string, string>> = {
  ip: 'iproute2',
  tc: 'iproute2',
  curl: 'curl',
  openssl: 'openssl',
  'update-ca-certificates': 'ca-certificates',
};

/** Installs the Debian packages whose programs are missing; `say` gets a line when there is something to do. */
export async function installPackages(say: (line: string) => void): Promise<void> {
  const missing = new Set<string>();
  for (const [program, name] of Object.entries(programs)) {
    if (!(await isInstalled(program))) missing.add(name);
  }
  if (missing.size === 0) return;
  say(`apt-get install ${[...missing].join(' ')} …`);
  await apt(['install', '--yes', '--no-install-recommends', ...missing]);
}

/** Downloads Debian packages into a directory, without installing them. */
export async function downloadPackages(names: readonly string[], directory: string): Promise<void> {
  await apt(['download', ...names], directory);
}

/**
 * Downloads Debian packages and all that they need and this machine lacks, and unpacks them below a directory. Nothing is
 * installed: that would start services, and change the machine for everybody else.
 */
export async function unpackPackages(names: readonly string[], directory: string): Promise<void> {
  const archives = join(directory, 'archives');
  await mkdir(join(archives, 'partial'), { recursive: true });
  const only = ['--yes', '--no-install-recommends', '--reinstall', '--download-only'];
  await apt(['install', ...only, '-o', `Dir::Cache::archives=${archives}`, ...names]);
  for (const file of await readdir(archives)) {
    if (file.endsWith('.deb')) await run(['dpkg', '-x', join(archives, file), directory]);
  }
  await rm(archives, { recursive: true });
}

/** Runs apt-get; when that fails, once more with fresh package lists: a new machine has none, an old one stale ones. */
async function apt(args: readonly string[], cwd = '/'): Promise<void> {
  const options = { timeoutMs: 600_000, env: { ...process.env, DEBIAN_FRONTEND: 'noninteractive' }, cwd };
  try {
    await run(['apt-get', ...args], options);
  } catch {
    await run(['apt-get', 'update'], options);
    await run(['apt-get', ...args], options);
  }
}

async function isInstalled(program: string): Promise<boolean> {
  return await run(['sh', '-c', `command -v ${program}`]).then(
    () => true,
    () => false,
  );
}
