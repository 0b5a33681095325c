import { link, mkdir, open, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { hexOf } from '../../oci/digest.ts';
import { generatedBlob } from '../../test/support/blobs.ts';

/** The repository of all generated blobs. */
export const REPOSITORY = 'bench/blob';

/** The same blobs in two places, as one file each: in a registry's storage, and below a web server's root. */
export class BlobStorage {
  /** Of CNCF distribution's filesystem driver. */
  readonly registry: string;
  /** Serves `/v2/bench/blob/blobs/<digest>`. */
  readonly webRoot: string;

  constructor(directory: string) {
    this.registry = join(directory, 'registry');
    this.webRoot = join(directory, 'web');
  }

  /** Writes a blob of bytes that cannot be compressed. @returns its digest */
  async add(sizeBytes: number, seed: number): Promise<string> {
    const blob = generatedBlob(sizeBytes, seed);
    const digest = await blob.digest();
    const hex = hexOf(digest);
    const root = join(this.registry, 'docker/registry/v2');
    const data = join(root, 'blobs/sha256', hex.slice(0, 2), hex, 'data');
    const layer = join(root, 'repositories', REPOSITORY, '_layers/sha256', hex, 'link');
    const page = join(this.webRoot, 'v2', REPOSITORY, 'blobs', digest);
    for (const file of [data, layer, page]) await mkdir(dirname(file), { recursive: true });
    await using file = await open(data, 'w');
    for (const piece of blob.pieces(0, sizeBytes)) await file.write(piece);
    await writeFile(layer, digest);
    await link(data, page);
    return digest;
  }
}
