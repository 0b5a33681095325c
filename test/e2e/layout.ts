import { createHash } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { pipeline } from 'node:stream/promises';
import type { Lab } from '../../scripts/lab/lab.ts';
import { digestsOf } from './support.ts';

/** A directory of content: https://github.com/opencontainers/image-spec/blob/main/image-layout.md */
export interface Layout {
  readonly root: string | undefined;
  /** Names of the content files, each with the digest of what is in it. */
  readonly files: ReadonlyMap<string, string>;
}

export async function readLayout(directory: string): Promise<Layout> {
  const index = await readFile(join(directory, 'index.json'), 'utf8');
  const { manifests } = JSON.parse(index) as { manifests: { digest: string }[] };
  const files = new Map<string, string>();
  for (const file of await readdir(join(directory, 'blobs/sha256'))) {
    files.set(`sha256:${file}`, `sha256:${await sha256(join(directory, 'blobs/sha256', file))}`);
  }
  return { root: manifests[0]?.digest, files };
}

/** The layout of an image that is no index, as its origin has it. */
export async function expectedLayout(lab: Lab, image: string): Promise<Layout> {
  const root = await lab.digest(image);
  const digests = [root, ...digestsOf(await lab.blobs(image))];
  return { root, files: new Map(digests.map((digest) => [digest, digest])) };
}

async function sha256(file: string): Promise<string> {
  const hash = createHash('sha256');
  await pipeline(createReadStream(file), hash);
  return hash.digest('hex');
}
