import { createHash } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { writeFile } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { pipeline } from 'node:stream/promises';
import { run } from './run.ts';

/** An image in a file that containerd imports. */
export interface SandboxImage {
  readonly reference: string;
  readonly file: string;
}

/**
 * An image that only sleeps, of one layer that is in no registry: what kubelet keeps a pod's namespaces alive with.
 *
 * @param files a tar archive of a root file system with /bin/sleep
 */
export async function sandboxImage(files: string, directory: string): Promise<SandboxImage> {
  const reference = 'sandbox.lab/pause:1';
  const hash = createHash('sha256');
  await pipeline(createReadStream(files), hash);
  const config = {
    architecture: process.arch === 'arm64' ? 'arm64' : 'amd64',
    os: 'linux',
    config: { Entrypoint: ['/bin/sleep', 'infinity'] },
    rootfs: { type: 'layers', diff_ids: [`sha256:${hash.digest('hex')}`] },
  };
  // https://github.com/moby/docker-image-spec/blob/main/spec.md#combined-image-json--filesystem-changeset-format
  const manifest = [{ Config: 'config.json', RepoTags: [reference], Layers: [basename(files)] }];
  await writeFile(join(dirname(files), 'config.json'), JSON.stringify(config));
  await writeFile(join(dirname(files), 'manifest.json'), JSON.stringify(manifest));
  const file = join(directory, 'sandbox.tar');
  await run(['tar', '-C', dirname(files), '-cf', file, 'manifest.json', 'config.json', basename(files)]);
  return { reference, file };
}
