import { createHash } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { pipeline } from 'node:stream/promises';
import { expect, test } from 'vitest';
import { images } from '../../scripts/lab/images.ts';
import { type Lab, REGISTRY } from '../../scripts/lab/lab.ts';
import type { Namespace } from '../../scripts/lab/network.ts';
import { digestsOf, openLab } from './support.ts';

test('crane pulls by the path form from the shared tier', async () => {
  await using lab = await openLab();
  const layout = await pullLayout(lab, lab.network.hub, '127.0.0.1:5061');
  expect(layout).toEqual(await expectedLayout(lab));
});

test('crane pulls by the path form from the agent', async () => {
  await using lab = await openLab();
  const layout = await pullLayout(lab, lab.node, '127.0.0.1:5050');
  expect(layout).toEqual(await expectedLayout(lab));
});

test('crane finds an index and everything below it valid', async () => {
  await using lab = await openLab();
  const reference = `127.0.0.1:5061/${REGISTRY}/${images.multi}`;
  expect(await lab.crane(lab.network.hub, 'digest', reference)).toBe(await lab.digest(images.multi));
  expect(await lab.crane(lab.network.hub, 'validate', '--remote', reference)).toMatch(/^PASS: /);
});

interface Layout {
  readonly root: string | undefined;
  /** Names of the content files, each with the digest of what is in it. */
  readonly files: ReadonlyMap<string, string>;
}

/** Pulls the Debian image into a directory: https://github.com/opencontainers/image-spec/blob/main/image-layout.md */
async function pullLayout(lab: Lab, client: Namespace, host: string): Promise<Layout> {
  const directory = join(lab.directory, 'layout');
  await lab.crane(client, 'pull', '--format', 'oci', `${host}/${REGISTRY}/${images.debian}`, directory);
  const index = await readFile(join(directory, 'index.json'), 'utf8');
  const { manifests } = JSON.parse(index) as { manifests: { digest: string }[] };
  const files = new Map<string, string>();
  for (const file of await readdir(join(directory, 'blobs/sha256'))) {
    files.set(`sha256:${file}`, `sha256:${await sha256(join(directory, 'blobs/sha256', file))}`);
  }
  return { root: manifests[0]?.digest, files };
}

async function expectedLayout(lab: Lab): Promise<Layout> {
  const root = await lab.digest(images.debian);
  const digests = [root, ...digestsOf(await lab.blobs(images.debian))];
  return { root, files: new Map(digests.map((digest) => [digest, digest])) };
}

async function sha256(file: string): Promise<string> {
  const hash = createHash('sha256');
  await pipeline(createReadStream(file), hash);
  return hash.digest('hex');
}
