import { readdir, readlink } from 'node:fs/promises';

/** What this process has open: paths of files, `socket:[17]`, `pipe:[18]`, `anon_inode:[eventpoll]`. */
export async function openFiles(): Promise<string[]> {
  const descriptors = await readdir('/proc/self/fd');
  return await Promise.all(descriptors.map((fd) => readlink(`/proc/self/fd/${fd}`).catch(() => '')));
}

/** Files of a directory that this process has open. */
export async function openFilesIn(directory: string): Promise<string[]> {
  return (await openFiles()).filter((path) => path.startsWith(directory));
}
