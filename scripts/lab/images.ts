import { createCipheriv } from 'node:crypto';
import { createReadStream, createWriteStream } from 'node:fs';
import { mkdir, readdir } from 'node:fs/promises';
import { basename, join } from 'node:path';
import { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { createGzip } from 'node:zlib';
import { makeOnce } from './make-once.ts';
import { downloadPackages } from './debian.ts';
import { Namespace } from './network.ts';
import { cacheDir } from './paths.ts';
import { startRegistry } from './registry.ts';
import { run } from './run.ts';
import { craneIn } from './crane.ts';
import { toolPath } from './tools.ts';

/** Raise it when an image below changes: the images of another recipe are built anew. */
const RECIPE = 2;

/** Repositories and tags in the storage that {@link ensureImages} makes. */
export const images = {
  /** A Debian root file system in four gzip layers, OCI media types. */
  debian: 'org/debian:1',
  /** An index of two platforms, with one layer in common. */
  multi: 'org/multi:1',
  /** Docker's media types throughout (schema 2). */
  docker: 'org/docker:1',
  /** The same at a path of Docker Hub's official images. */
  official: 'library/docker:1',
  /** An OCI artifact: files that are no layers, a type, an empty configuration. */
  artifact: 'org/artifact:1',
  /** One layer of 64 MiB that cannot be compressed. */
  layer: 'org/layer:1',
  /** A layer of more than 1 GiB that cannot be compressed, Docker media types. */
  big: 'org/big:1',
} as const;

/** The two platforms of {@link images.multi}; the first is this machine's. */
export const platforms: readonly [string, string] =
  process.arch === 'arm64' ? ['linux/arm64', 'linux/amd64'] : ['linux/amd64', 'linux/arm64'];

/** Layers, each of some Debian packages. */
const debianLayers = [
  ['base-files', 'libc6'],
  ['coreutils', 'libacl1', 'libattr1', 'libselinux1'],
  ['bash', 'dash', 'libtinfo6'],
  ['perl-base'],
] as const;
/** Of packages that hold the same files on every architecture. */
const commonLayer = ['media-types', 'netbase'] as const;
const otherLayer = ['ca-certificates'] as const;

const ARTIFACT_LAYER = 'application/vnd.lab.packages.layer.v1.tar+gzip';

const LAYER_FILE_BYTES = 64 * 1024 * 1024;
const BIG_FILE_BYTES = 1100 * 1024 * 1024;

/**
 * A registry storage directory with all test images, made from real files. It is built once and then kept, so start a
 * registry on it read-only.
 */
export async function ensureImages(say: (line: string) => void = () => {}): Promise<string> {
  const finished = join(cacheDir, `images-${RECIPE}`);
  await makeOnce(finished, async (scratch) => {
    say('making the test images …');
    await build(scratch);
    return join(scratch, 'storage');
  });
  return finished;
}

async function build(scratch: string): Promise<void> {
  await using namespace = await Namespace.create('images');
  await using registry = await startRegistry({
    namespace,
    storage: join(scratch, 'storage'),
    directory: scratch,
    logFile: join(scratch, 'registry.log'),
  });
  const crane = craneIn({ namespace, home: scratch, timeoutMs: 300_000 });
  const append = async (image: string, platform: string, layers: readonly string[], flags: readonly string[] = []) => {
    const tag = `${registry.address}/${image}`;
    await crane('append', ...flags, ...layers.flatMap((layer) => ['-f', layer]), '-t', tag);
    await crane('mutate', '--set-platform', platform, '--entrypoint', '/bin/bash', '-t', tag, tag);
    return tag;
  };

  const debian: string[] = [];
  for (const packages of debianLayers) debian.push(await packageLayer(scratch, packages));
  await append(images.debian, platforms[0], debian, ['--oci-empty-base']);

  const common = await packageLayer(scratch, commonLayer);
  const here = await append('org/multi:here', platforms[0], [common, ...debian.slice(-1)], ['--oci-empty-base']);
  const there = await append(
    'org/multi:there',
    platforms[1],
    [common, await packageLayer(scratch, otherLayer)],
    ['--oci-empty-base'],
  );
  await crane('index', 'append', '-m', here, '-m', there, '-t', `${registry.address}/${images.multi}`);

  const small = await packageLayer(scratch, ['netbase']);
  const docker = await append(images.docker, platforms[0], [small, await packageLayer(scratch, ['hostname'])]);
  await crane('copy', docker, `${registry.address}/${images.official}`);
  await append(images.layer, platforms[0], [await fileLayer(scratch, 'layer', LAYER_FILE_BYTES)], ['--oci-empty-base']);
  await append(images.big, platforms[0], [await fileLayer(scratch, 'big', BIG_FILE_BYTES)]);

  const artifact = ['--artifact-type', 'application/vnd.lab.packages', `${basename(small)}:${ARTIFACT_LAYER}`];
  await namespace.run(
    [toolPath('oras'), 'push', '--plain-http', `${registry.address}/${images.artifact}`, ...artifact],
    {
      env: { HOME: scratch },
      cwd: scratch,
    },
  );
}

/** The files of some Debian packages as a gzip layer. */
async function packageLayer(scratch: string, packages: readonly string[]): Promise<string> {
  const directory = join(scratch, packages.join('+'));
  const root = join(directory, 'root');
  await mkdir(root, { recursive: true });
  await downloadPackages(packages, directory);
  for (const file of await readdir(directory)) {
    if (file.endsWith('.deb')) await run(['dpkg', '-x', join(directory, file), root]);
  }
  const tar = await tarball(root, `${directory}.tar`);
  await run(['gzip', '-n', tar]);
  return `${tar}.gz`;
}

/** A layer whose bytes are the same on every machine: the start of the AES-CTR key stream of a zero key. */
async function fileLayer(scratch: string, name: string, bytes: number): Promise<string> {
  const root = join(scratch, name);
  await mkdir(root);
  const cipher = createCipheriv('aes-128-ctr', Buffer.alloc(16), Buffer.alloc(16));
  await pipeline(Readable.from(zeros(bytes)), cipher, createWriteStream(join(root, 'model.bin')));
  const tar = await tarball(root, join(scratch, `${name}.tar`));
  // crane compresses what is not compressed yet, and that would take longer than all the rest.
  await pipeline(createReadStream(tar), createGzip({ level: 0 }), createWriteStream(`${tar}.gz`));
  return `${tar}.gz`;
}

async function tarball(root: string, file: string): Promise<string> {
  await run(['tar', '-C', root, '--numeric-owner', '--mtime=@0', '--sort=name', '-cf', file, '.']);
  return file;
}

function* zeros(size: number): Generator<Buffer> {
  const chunk = Buffer.alloc(1024 * 1024);
  for (let left = size; left > 0; left -= chunk.length) yield chunk.subarray(0, left);
}
