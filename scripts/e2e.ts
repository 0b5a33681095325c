/**
 * `npm run e2e`: installs and builds what the end-to-end tests need, then runs them. Arguments go to vitest.
 */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdir, readFile, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { ensureDebianTools } from './lab/debian-tools.ts';
import { installPackages } from './lab/debian.ts';
import { ensureImages } from './lab/images.ts';
import { buildKubeTools } from './lab/kube-tools.ts';
import { ensureNpmCache } from './lab/npm-cache.ts';
import { cacheDir, logsDir, repositoryRoot } from './lab/paths.ts';
import { run } from './lab/run.ts';
import { ensureSystemd } from './lab/systemd.ts';
import { buildTools } from './lab/tools.ts';

/** Directories that hold what we call and that not every shell has in PATH. */
const MORE_PATH = ['/usr/sbin', '/sbin', '/usr/local/go/bin'];

/** What a person has to change before the tests can run. */
async function missing(): Promise<string | undefined> {
  if (process.platform !== 'linux') return 'Linux is needed: network namespaces, containerd';
  if (process.getuid?.() !== 0) return 'root is needed: network namespaces, mounts, apt-get';
  const release = await readFile('/etc/os-release', 'utf8').catch(() => '');
  if (!/^ID(_LIKE)?=.*debian/m.test(release)) return 'Debian (or a derivative of it) is needed: apt-get, dpkg';
  const go = await run(['go', 'version']).catch(() => undefined);
  if (go === undefined) return 'Go is needed in PATH (1.26 or newer): the tools are built from their modules';
  return undefined;
}

function say(line: string): void {
  console.log(`e2e: ${line}`);
}

async function main(): Promise<number> {
  process.env['PATH'] = [process.env['PATH'], ...MORE_PATH].join(':');
  const obstacle = await missing();
  if (obstacle !== undefined) {
    say(obstacle);
    return 1;
  }
  await mkdir(cacheDir, { recursive: true });
  await rm(logsDir, { recursive: true, force: true });
  await installPackages(say);
  await ensureDebianTools(say);
  await ensureSystemd(say);
  await buildTools(say);
  await buildKubeTools(say);
  await ensureImages(say);
  await ensureNpmCache(say);
  const vitest = join(repositoryRoot, 'node_modules/vitest/vitest.mjs');
  const args = ['run', '--config', 'vitest.e2e.config.ts', ...process.argv.slice(2)];
  const child = spawn(process.execPath, [vitest, ...args], { cwd: repositoryRoot, stdio: 'inherit' });
  const [code] = (await once(child, 'exit')) as [number | null];
  return code ?? 1;
}

process.exitCode = await main().catch((error: unknown) => {
  say(error instanceof Error ? error.message : String(error));
  return 1;
});
