import { lstat, readdir, rm } from 'node:fs/promises';
import { join } from 'node:path';
import type { Digest } from '../oci/digest.ts';
import type { Layout } from './layout.ts';

export interface Found {
  readonly digest: Digest;
  readonly sizeBytes: number;
  readonly usedAtMs: number;
}

const AT_ONCE = 64;

/** All committed content of a directory, least recently used first. Files that are not content are removed. */
export async function scanBlobs(layout: Layout): Promise<Found[]> {
  const files = await Array.fromAsync(filesBelow(layout.blobs));
  const found: Found[] = [];
  for (let at = 0; at < files.length; at += AT_ONCE) {
    const some = await Promise.all(files.slice(at, at + AT_ONCE).map((path) => examine(layout, path)));
    found.push(...some.filter((each) => each !== undefined));
  }
  return found.toSorted((a, b) => a.usedAtMs - b.usedAtMs);
}

/** Not `readdir` with `recursive`: that follows links to directories, and what is foreign here is removed. */
async function* filesBelow(directory: string): AsyncGenerator<string> {
  for (const entry of await readdir(directory, { withFileTypes: true })) {
    const path = join(directory, entry.name);
    if (entry.isDirectory()) yield* filesBelow(path);
    else yield path;
  }
}

async function examine(layout: Layout, path: string): Promise<Found | undefined> {
  const digest = layout.digestAt(path.slice(layout.blobs.length + 1));
  const stats = await lstat(path);
  if (digest && stats.isFile()) return { digest, sizeBytes: stats.size, usedAtMs: stats.mtimeMs };
  await rm(path, { force: true });
  return undefined;
}
