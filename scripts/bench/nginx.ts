import { mkdir, readdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { makeOnce } from '../lab/make-once.ts';
import { Daemon } from '../lab/daemon.ts';
import { downloadPackages } from '../lab/debian.ts';
import type { Namespace } from '../lab/network.ts';
import { cacheDir, exists } from '../lab/paths.ts';
import { run } from '../lab/run.ts';

const installed = join(cacheDir, 'nginx');

/** Unpacks Debian's nginx into the cache, unless it is there: installing it would start a service. */
export async function ensureNginx(say: (line: string) => void): Promise<void> {
  await makeOnce(installed, async (scratch) => {
    say('apt-get download nginx …');
    await downloadPackages(['nginx'], scratch);
    for (const file of await readdir(scratch)) await run(['dpkg', '-x', join(scratch, file), join(scratch, 'root')]);
    return join(scratch, 'root');
  });
}

export interface NginxOptions {
  readonly namespace: Namespace;
  /** For its own files; made if absent. */
  readonly directory: string;
  readonly logFile: string;
  /** Body of the `http` block: servers, and where they listen. */
  readonly http: string;
}

/** Starts an nginx of its own and waits until it listens. */
export async function startNginx({ namespace, directory, logFile, http }: NginxOptions): Promise<Daemon> {
  await mkdir(directory, { recursive: true });
  const file = join(directory, 'nginx.conf');
  await writeFile(file, configuration(directory, http));
  const daemon = await Daemon.start({
    argv: namespace.command([join(installed, 'usr/sbin/nginx'), '-p', directory, '-c', file]),
    logFile,
  });
  try {
    // It writes its pid after it has bound its sockets.
    await daemon.until('listening', async () => await exists(join(directory, 'nginx.pid')));
  } catch (error) {
    await daemon[Symbol.asyncDispose]();
    throw error;
  }
  return daemon;
}

function configuration(directory: string, http: string): string {
  const temporary = ['client_body', 'proxy', 'fastcgi', 'uwsgi', 'scgi'].map(
    (what) => `${what}_temp_path ${directory}/${what};`,
  );
  return `daemon off;
user root;
worker_processes auto;
pid ${directory}/nginx.pid;
error_log stderr;
events { worker_connections 1024; }
http {
  access_log off;
  sendfile on;
  tcp_nopush on;
  default_type application/octet-stream;
  ${temporary.join('\n  ')}
${http}
}
`;
}
