import type { AddedImage, ImageOptions } from '../origin-content.ts';
import type { BlobStore } from '../origin-blob-store.ts';
import type { AccessOptions } from '../origin-access.ts';
import type { Origin } from '../origin.ts';
import type { TokenServer } from '../token-server.ts';

/** The hosts that a registry is made of. */
export interface Hosts {
  /** Where clients go first. */
  readonly origin: Origin;
  /** Where tokens come from, if that is another host. */
  readonly tokenServer?: TokenServer;
  /** Where blobs are read, if that is another host. */
  readonly store?: BlobStore;
  /** Where all content is, if the first host only redirects; and what a repository is called there. */
  readonly backend?: { readonly origin: Origin; readonly prefix: string };
}

/** Each host of a registry has a loopback address of its own, because it is a host of its own in the world. */
export const ADDRESSES = { tokens: '127.0.0.2', store: '127.0.0.3', backend: '127.0.0.4' } as const;

/** A registry with the ways of a real one, on loopback; what `startHouse({ registries })` takes. */
export class TestRegistry implements AsyncDisposable {
  /** As in image references. */
  readonly name: string;
  readonly hosts: Hosts;
  readonly #running: AsyncDisposableStack;

  constructor(name: string, hosts: Hosts, running: AsyncDisposableStack) {
    this.name = name;
    this.hosts = hosts;
    this.#running = running;
  }

  get origin(): Origin {
    return this.hosts.origin;
  }

  get url(): string {
    return this.origin.url;
  }

  /** What the operator has to write into the origins file besides the endpoint: the other hosts, which are private here. */
  get entry(): { tokenHosts: string[]; redirectHosts: string[] } {
    const { tokenServer, store, backend } = this.hosts;
    return {
      tokenHosts: tokenServer ? [tokenServer.host] : [],
      redirectHosts: [store, backend?.origin].filter((server) => server !== undefined).map(({ host }) => host),
    };
  }

  async addImage(repository: string, tag: string, options: ImageOptions): Promise<AddedImage> {
    const { origin, backend } = this.hosts;
    return await (backend?.origin ?? origin).addImage(`${backend?.prefix ?? ''}${repository}`, tag, options);
  }

  /** Body bytes of this content that left any of the hosts. */
  bodyBytes(digest: string): number {
    const { origin, store, backend } = this.hosts;
    return origin.bodyBytes(digest) + (store?.bodyBytes(digest) ?? 0) + (backend?.origin.bodyBytes(digest) ?? 0);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#running.disposeAsync();
  }
}

/** How to start one of the registries, and what is to be known of it to use it. */
export interface RegistryKind {
  readonly name: string;
  /** May an image be read without credentials at all? */
  readonly hasPublic: boolean;
  /** The name that goes with a secret; undefined where there are no private images. */
  readonly user: string | undefined;
  start(access?: AccessOptions): Promise<TestRegistry>;
}

/** Starts the hosts of a registry; when one of them fails, those that run are stopped. */
export async function assemble(
  name: string,
  build: (running: AsyncDisposableStack) => Promise<Hosts>,
): Promise<TestRegistry> {
  await using starting = new AsyncDisposableStack();
  const hosts = await build(starting);
  return new TestRegistry(name, hosts, starting.move());
}
