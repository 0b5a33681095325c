import { execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { createReadStream, createWriteStream } from 'node:fs';
import { mkdir, rename, rm, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { pipeline } from 'node:stream/promises';
import { createGzip } from 'node:zlib';

interface Descriptor {
  readonly mediaType: string;
  readonly digest: string;
  readonly size: number;
}

export interface ImageConfig {
  readonly User: string;
  readonly Entrypoint: readonly string[];
  readonly Cmd: readonly string[];
  readonly WorkingDir: string;
  readonly Env: readonly string[];
  readonly Labels: Readonly<Record<string, string>>;
}

/** A part of the root file system, and what to call it in the image's history. */
export interface RootPart {
  readonly directory: string;
  readonly name: string;
}

const MEDIA = 'application/vnd.oci.image';
/** The same directory gives the same bytes: https://reproducible-builds.org/docs/archives/ */
const TAR = ['--sort=name', '--mtime=@0', '--owner=0', '--group=0', '--numeric-owner', '--format=gnu'];

/**
 * Writes an image as an OCI layout (https://github.com/opencontainers/image-spec/blob/main/image-layout.md), and beside it
 * the same in one archive that `ctr images import`, `podman load` and `docker load` take.
 *
 * @returns digest of the image's manifest
 */
export async function writeImage(
  layout: string,
  { reference, config, parts }: { reference: string; config: ImageConfig; parts: readonly RootPart[] },
): Promise<string> {
  await rm(layout, { recursive: true, force: true });
  const blobs = join(layout, 'blobs/sha256');
  await mkdir(blobs, { recursive: true });
  const writeJson = async (mediaType: string, value: object): Promise<Descriptor> => {
    const text = JSON.stringify(value);
    const hex = createHash('sha256').update(text).digest('hex');
    await writeFile(join(blobs, hex), text);
    return { mediaType, digest: `sha256:${hex}`, size: Buffer.byteLength(text) };
  };

  const layers: Descriptor[] = [];
  const diffIds: string[] = [];
  for (const { directory } of parts) {
    const { descriptor, diffId } = await writeLayer(blobs, directory);
    layers.push(descriptor);
    diffIds.push(diffId);
  }
  const image = await writeJson(`${MEDIA}.config.v1+json`, {
    architecture: process.arch === 'x64' ? 'amd64' : process.arch,
    os: 'linux',
    config,
    rootfs: { type: 'layers', diff_ids: diffIds },
    history: parts.map(({ name }) => ({ created_by: name })),
  });
  const mediaType = `${MEDIA}.manifest.v1+json`;
  const manifest = await writeJson(mediaType, { schemaVersion: 2, mediaType, config: image, layers });
  const annotations = {
    'io.containerd.image.name': reference,
    'org.opencontainers.image.ref.name': reference.slice(reference.lastIndexOf(':') + 1),
  };
  const index = { schemaVersion: 2, mediaType: `${MEDIA}.index.v1+json`, manifests: [{ ...manifest, annotations }] };
  await writeFile(join(layout, 'index.json'), JSON.stringify(index));
  await writeFile(join(layout, 'oci-layout'), JSON.stringify({ imageLayoutVersion: '1.0.0' }));
  // Older than OCI's index, and what the Docker daemon and crane read in an archive.
  const pathOf = ({ digest }: Descriptor): string => `blobs/sha256/${digest.slice('sha256:'.length)}`;
  const docker = [{ Config: pathOf(image), RepoTags: [reference], Layers: layers.map(pathOf) }];
  await writeFile(join(layout, 'manifest.json'), JSON.stringify(docker));
  execFileSync('tar', [...TAR, '-C', layout, '-cf', `${layout}.tar`, '.']);
  return manifest.digest;
}

async function writeLayer(blobs: string, directory: string): Promise<{ descriptor: Descriptor; diffId: string }> {
  const [tar, gzip] = [join(blobs, 'layer.tar'), join(blobs, 'layer.tar.gz')];
  execFileSync('tar', [...TAR, '-C', directory, '-cf', tar, '.']);
  await pipeline(createReadStream(tar), createGzip({ level: 6 }), createWriteStream(gzip));
  const [diffId, digest] = [await digestOf(tar), await digestOf(gzip)];
  const { size } = await stat(gzip);
  await rename(gzip, join(blobs, digest.slice('sha256:'.length)));
  await rm(tar);
  return { descriptor: { mediaType: `${MEDIA}.layer.v1.tar+gzip`, digest, size }, diffId };
}

async function digestOf(file: string): Promise<string> {
  const hash = createHash('sha256');
  await pipeline(createReadStream(file), hash);
  return `sha256:${hash.digest('hex')}`;
}
