import { link, mkdir, open, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { type Digest, digestOf, hexOf } from '../../oci/digest.ts';
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
  async add(sizeBytes: number, seed: number): Promise<Digest> {
    const blob = generatedBlob(sizeBytes, seed);
    const digest = await blob.digest();
    const data = this.#data(digest);
    const page = join(this.webRoot, 'v2', REPOSITORY, 'blobs', digest);
    for (const file of [data, page]) await mkdir(dirname(file), { recursive: true });
    await using file = await open(data, 'w');
    for (const piece of blob.pieces(0, sizeBytes)) await file.write(piece);
    await this.#link(`_layers/sha256/${hexOf(digest)}`, digest);
    await link(data, page);
    return digest;
  }

  /** Writes an image of this one layer. @returns the digest of its manifest */
  async image(layer: { digest: Digest; size: number }): Promise<Digest> {
    const config = { mediaType: 'application/vnd.oci.empty.v1+json', digest: digestOf(Buffer.from('{}')), size: 2 };
    const layers = [{ mediaType: 'application/vnd.oci.image.layer.v1.tar', ...layer }];
    const mediaType = 'application/vnd.oci.image.manifest.v1+json';
    const content = Buffer.from(JSON.stringify({ schemaVersion: 2, mediaType, config, layers }));
    const digest = digestOf(content);
    await mkdir(dirname(this.#data(digest)), { recursive: true });
    await writeFile(this.#data(digest), content);
    await this.#link(`_manifests/revisions/sha256/${hexOf(digest)}`, digest);
    return digest;
  }

  #data(digest: Digest): string {
    const hex = hexOf(digest);
    return join(this.registry, 'docker/registry/v2/blobs/sha256', hex.slice(0, 2), hex, 'data');
  }

  async #link(place: string, digest: Digest): Promise<void> {
    const directory = join(this.registry, 'docker/registry/v2/repositories', REPOSITORY, place);
    await mkdir(directory, { recursive: true });
    await writeFile(join(directory, 'link'), digest);
  }
}
