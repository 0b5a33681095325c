import { readFile, readdir, readlink } from 'node:fs/promises';

const LISTEN = '0A';

/** Name and number of the process that listens on a port of this machine, as far as it can be seen from here. */
export async function whoListens(port: number): Promise<string | undefined> {
  const tables = await Promise.all(['tcp', 'tcp6'].map(async (name) => await textOf(`/proc/net/${name}`)));
  const wanted = `:${port.toString(16).toUpperCase().padStart(4, '0')}`;
  const rows = tables.flatMap((text) => text.split('\n').map((line) => line.trim().split(/\s+/)));
  const inodes = rows.filter((row) => row[1]?.endsWith(wanted) === true && row[3] === LISTEN).map((row) => row[9]);
  const sockets = new Set(inodes.map((inode) => `socket:[${inode}]`));
  for (const pid of sockets.size > 0 ? await readdir('/proc') : []) {
    if (!/^\d+$/.test(pid)) continue;
    const descriptors = await readdir(`/proc/${pid}/fd`).catch((): string[] => []);
    for (const descriptor of descriptors) {
      const target = await readlink(`/proc/${pid}/fd/${descriptor}`).catch(() => '');
      if (sockets.has(target)) return `${(await textOf(`/proc/${pid}/comm`)).trim()} (process ${pid})`;
    }
  }
  return undefined;
}

async function textOf(path: string): Promise<string> {
  return await readFile(path, 'utf8').catch(() => '');
}
