import type { Descriptor } from '../../oci/descriptor.ts';
import { digestOf, type Algorithm, type Digest } from '../../oci/digest.ts';
import { bytesBlob, type BlobSource } from './blobs.ts';

/** What an image of an index runs on. */
export interface Platform {
  readonly os: string;
  readonly architecture: string;
  readonly variant?: string;
}

/** A manifest's descriptor as an index may hold it. */
export interface ManifestDescriptor extends Descriptor {
  readonly platform?: Platform;
}

/** A descriptor as it is written in manifests: what this project calls `sizeBytes` is `size` there. */
export function toWire({ sizeBytes, ...rest }: ManifestDescriptor): object {
  return { ...rest, size: sizeBytes };
}

/** A manifest as it was put in; its bytes are what its digest is of. */
export interface StoredManifest {
  readonly bytes: Buffer;
  readonly mediaType: string;
  readonly digest: Digest;
  readonly json: {
    readonly subject?: { readonly digest: string };
    readonly artifactType?: string;
    readonly annotations?: Readonly<Record<string, string>>;
    readonly config?: { readonly mediaType: string };
  };
}

/** The descriptors of an image that was put in. */
export interface AddedImage {
  readonly manifest: ManifestDescriptor;
  readonly config: Descriptor;
  readonly layers: readonly Descriptor[];
}

/** What an image is made of. */
export interface ImageOptions {
  readonly layers: readonly (Uint8Array | BlobSource)[];
  /** linux/amd64 unless given. */
  readonly platform?: Platform;
  /** Docker's media types in place of OCI's. */
  readonly docker?: boolean;
}

/** The media types of images: OCI's and Docker's. */
export const MEDIA_TYPES = {
  oci: {
    manifest: 'application/vnd.oci.image.manifest.v1+json',
    index: 'application/vnd.oci.image.index.v1+json',
    config: 'application/vnd.oci.image.config.v1+json',
    layer: 'application/vnd.oci.image.layer.v1.tar+gzip',
  },
  docker: {
    manifest: 'application/vnd.docker.distribution.manifest.v2+json',
    index: 'application/vnd.docker.distribution.manifest.list.v2+json',
    config: 'application/vnd.docker.container.image.v1+json',
    layer: 'application/vnd.docker.image.rootfs.diff.tar.gzip',
  },
} as const;

interface Repository {
  readonly blobs: Map<string, BlobSource>;
  readonly manifests: Map<string, StoredManifest>;
  readonly tags: Map<string, string>;
}

/** What a registry holds: repositories, each with its own blobs, manifests and tags. */
export class OriginContent {
  readonly #repositories = new Map<string, Repository>();

  /** Undefined for a repository that nothing was put into. */
  repository(name: string): Repository | undefined {
    return this.#repositories.get(name);
  }

  /** Finds a blob, whatever repository it is in. */
  blob(digest: string): BlobSource | undefined {
    for (const repository of this.#repositories.values()) {
      const blob = repository.blobs.get(digest);
      if (blob !== undefined) return blob;
    }
    return undefined;
  }

  /** Finds a manifest of a repository by tag or digest. */
  manifest(repository: string, reference: string): StoredManifest | undefined {
    const { manifests, tags } = this.#repositories.get(repository) ?? {};
    return manifests?.get(tags?.get(reference) ?? reference);
  }

  async addBlob(
    repository: string,
    blob: Uint8Array | BlobSource,
    options: { algorithm?: Algorithm; mediaType?: string } = {},
  ): Promise<Descriptor> {
    const source = blob instanceof Uint8Array ? bytesBlob(blob) : blob;
    const digest = await source.digest(options.algorithm);
    this.#open(repository).blobs.set(digest, source);
    return { mediaType: options.mediaType ?? 'application/octet-stream', digest, sizeBytes: source.sizeBytes };
  }

  addManifest(
    repository: string,
    tag: string | undefined,
    manifest: object,
    mediaType: string,
    algorithm: Algorithm = 'sha256',
  ): Descriptor {
    const bytes = manifest instanceof Uint8Array ? Buffer.from(manifest) : Buffer.from(JSON.stringify(manifest));
    const digest = digestOf(bytes, algorithm);
    const { manifests, tags } = this.#open(repository);
    manifests.set(digest, { bytes, mediaType, digest, json: parsed(bytes) });
    if (tag !== undefined) tags.set(tag, digest);
    return { mediaType, digest, sizeBytes: bytes.byteLength };
  }

  async addImage(repository: string, tag: string | undefined, options: ImageOptions): Promise<AddedImage> {
    const types = MEDIA_TYPES[options.docker === true ? 'docker' : 'oci'];
    const layers: Descriptor[] = [];
    for (const layer of options.layers) {
      layers.push(await this.addBlob(repository, layer, { mediaType: types.layer }));
    }
    const platform = options.platform ?? { os: 'linux', architecture: 'amd64' };
    // Nobody unpacks these layers, so their own digests do for those of their uncompressed forms.
    const rootfs = { type: 'layers', diff_ids: layers.map((layer) => layer.digest) };
    const configBytes = Buffer.from(JSON.stringify({ ...platform, config: {}, rootfs }));
    const config = await this.addBlob(repository, configBytes, { mediaType: types.config });
    const json = {
      schemaVersion: 2,
      mediaType: types.manifest,
      config: toWire(config),
      layers: layers.map((layer) => toWire(layer)),
    };
    return { manifest: { ...this.addManifest(repository, tag, json, types.manifest), platform }, config, layers };
  }

  addIndex(repository: string, tag: string | undefined, manifests: readonly ManifestDescriptor[]): Descriptor {
    const isDocker = manifests.length > 0 && manifests.every(({ mediaType }) => mediaType.includes('docker'));
    const mediaType = MEDIA_TYPES[isDocker ? 'docker' : 'oci'].index;
    return this.addManifest(
      repository,
      tag,
      { schemaVersion: 2, mediaType, manifests: manifests.map((manifest) => toWire(manifest)) },
      mediaType,
    );
  }

  /** Puts in a blob whose digest is known. */
  putBlob(repository: string, digest: string, blob: BlobSource): void {
    this.#open(repository).blobs.set(digest, blob);
  }

  /** Points a tag at a manifest that is there, or nowhere. */
  setTag(repository: string, tag: string, digest: string | undefined): void {
    const { tags } = this.#open(repository);
    if (digest === undefined) tags.delete(tag);
    else tags.set(tag, digest);
  }

  /** Removes a blob or a manifest from a repository; its tags lead nowhere then. */
  remove(repository: string, digest: string): void {
    this.#open(repository).blobs.delete(digest);
    this.#open(repository).manifests.delete(digest);
  }

  #open(name: string): Repository {
    const repository = this.#repositories.get(name) ?? { blobs: new Map(), manifests: new Map(), tags: new Map() };
    this.#repositories.set(name, repository);
    return repository;
  }
}

function parsed(bytes: Buffer): StoredManifest['json'] {
  try {
    return JSON.parse(bytes.toString()) as StoredManifest['json'];
  } catch {
    // A test may well serve a manifest that is no JSON.
    return {};
  }
}
