import { link, mkdir, open, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { gzipSync } from 'node:zlib';
import { type Digest, digestOf, hexOf } from '../../oci/digest.ts';
import { generatedBlob } from '../../test/support/blobs.ts';

/** The repository of all generated blobs. */
export const REPOSITORY = 'bench/blob';

interface Descriptor {
  readonly mediaType: string;
  readonly digest: Digest;
  readonly size: number;
}

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

  /** Writes an image of these layers. @returns the digest of its manifest */
  async image(blobs: readonly { digest: Digest; size: number }[], tag = 'latest'): Promise<Digest> {
    const config = await this.#put(Buffer.from('{}'), 'application/vnd.oci.empty.v1+json');
    const layers = blobs.map((blob) => ({ mediaType: 'application/vnd.oci.image.layer.v1.tar', ...blob }));
    return await this.#manifest(tag, config, layers);
  }

  /** Writes an image of many layers, each of one small file, under a tag. */
  async layeredImage(tag: string, count: number): Promise<void> {
    const tars = Array.from({ length: count }, (_, at) => tarOf(`file-${at}`, `layer ${at}\n`));
    const layers = [];
    for (const tar of tars) {
      layers.push(await this.#put(gzipSync(tar), 'application/vnd.oci.image.layer.v1.tar+gzip'));
    }
    const platform = { architecture: process.arch === 'arm64' ? 'arm64' : 'amd64', os: 'linux' };
    const rootfs = { type: 'layers', diff_ids: tars.map((tar) => digestOf(tar)) };
    const content = Buffer.from(JSON.stringify({ ...platform, config: {}, rootfs }));
    const config = await this.#put(content, 'application/vnd.oci.image.config.v1+json');
    await this.#manifest(tag, config, layers);
  }

  async #manifest(tag: string, config: Descriptor, layers: readonly Descriptor[]): Promise<Digest> {
    const mediaType = 'application/vnd.oci.image.manifest.v1+json';
    const text = JSON.stringify({ schemaVersion: 2, mediaType, config, layers });
    const { digest } = await this.#put(Buffer.from(text), mediaType);
    await this.#link(`_manifests/revisions/sha256/${hexOf(digest)}`, digest);
    await this.#link(`_manifests/tags/${tag}/current`, digest);
    await this.#link(`_manifests/tags/${tag}/index/sha256/${hexOf(digest)}`, digest);
    return digest;
  }

  async #put(content: Buffer, mediaType: string): Promise<Descriptor> {
    const digest = digestOf(content);
    await mkdir(dirname(this.#data(digest)), { recursive: true });
    await writeFile(this.#data(digest), content);
    await this.#link(`_layers/sha256/${hexOf(digest)}`, digest);
    return { mediaType, digest, size: content.length };
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

/** A tar archive of one file: https://pubs.opengroup.org/onlinepubs/9799919799/utilities/pax.html, "ustar". */
function tarOf(name: string, content: string): Buffer {
  const header = Buffer.alloc(512);
  const put = (text: string, at: number): void => void header.write(text, at, 'latin1');
  put(name, 0);
  put('0000644\0', 100);
  put('0000000\0', 108);
  put('0000000\0', 116);
  put(`${content.length.toString(8).padStart(11, '0')}\0`, 124);
  put('00000000000\0', 136);
  put('        ', 148); // the checksum counts as spaces
  put('0', 156);
  put('ustar\x0000', 257);
  const sum = header.reduce((total, byte) => total + byte, 0);
  put(`${sum.toString(8).padStart(6, '0')}\0 `, 148);
  const body = Buffer.alloc(Math.ceil(content.length / 512) * 512);
  body.write(content);
  return Buffer.concat([header, body, Buffer.alloc(1024)]);
}
