import type { Descriptor } from '../../oci/descriptor.ts';
import type { Algorithm } from '../../oci/digest.ts';
import type { BlobSource } from './blobs.ts';
import { Access, type AccessOptions } from './origin-access.ts';
import { OriginContent, type AddedImage, type ImageOptions, type ManifestDescriptor } from './origin-content.ts';
import { Door, type DoorOptions } from './origin-door.ts';
import type { PullLimit, RateLimit } from './origin-limit.ts';
import type { Moods } from './origin-moods.ts';
import type { Target } from './origin-routes.ts';
import { PushSide, type PushRules } from './origin-push.ts';
import { sendMoodInstead, sendPage } from './origin-send.ts';
import { serve } from './origin-serve.ts';
import { TestServer, type Exchange, type ServerOptions } from './origin-server.ts';
import { TokenAuthority, type TokenServer } from './token-server.ts';

/** How an origin begins; moods and who may read what can be changed at any time. */
export interface OriginOptions extends AccessOptions, DoorOptions, ServerOptions {
  readonly mood?: Moods;
  /** Where tokens come from, and who may read what then; without it, the origin's own token path. */
  readonly tokenServer?: TokenServer;
  /** Repositories that do not exist are as closed as those that a caller may not read. */
  readonly concealsMissing?: boolean;
  /** How many pulls a caller has. */
  readonly limit?: PullLimit;
  /** How many requests a second it takes, those for tokens aside. */
  readonly rate?: RateLimit;
}

/**
 * A registry on 127.0.0.1, for tests: right by the distribution specification unless a mood is set.
 * @see https://github.com/opencontainers/distribution-spec/blob/main/spec.md
 */
export class Origin extends TestServer {
  readonly access: Access;
  /** The tokens that this origin takes; those of `tokenServer`, if there is one. */
  readonly tokens: TokenAuthority;
  readonly #content = new OriginContent();
  readonly #pushSide = new PushSide(this.#content);
  readonly #door: Door;
  readonly #limit: PullLimit | undefined;
  readonly #rate: RateLimit | undefined;

  constructor(options: OriginOptions) {
    super(options);
    this.#limit = options.limit;
    this.#rate = options.rate;
    this.mood = options.mood ?? {};
    this.tokens = options.tokenServer?.authority ?? new TokenAuthority(new Access(options));
    this.access = this.tokens.access;
    if (options.concealsMissing === true) this.access.isKnown = (name) => this.#content.repository(name) !== undefined;
    this.#door = new Door(this.tokens, options, () => ({
      realm: options.tokenServer?.realm ?? this.realm,
      service: options.service === undefined ? this.host : options.service,
    }));
  }

  /** Puts a blob into a repository; a generated one is hashed first, 10 GiB in some 6 seconds. */
  addBlob(
    repository: string,
    blob: Uint8Array | BlobSource,
    options: { algorithm?: Algorithm } = {},
  ): Promise<Descriptor> {
    return this.#content.addBlob(repository, blob, options);
  }

  /** Puts a manifest in: bytes as they are, or an object as JSON. Nothing is checked, so bad ones can be served. */
  addManifest(
    repository: string,
    tag: string | undefined,
    manifest: object,
    mediaType: string,
    algorithm?: Algorithm,
  ): Descriptor {
    return this.#content.addManifest(repository, tag, manifest, mediaType, algorithm);
  }

  /** Puts in layers, a configuration that goes with them, and the manifest. */
  addImage(repository: string, tag: string | undefined, options: ImageOptions): Promise<AddedImage> {
    return this.#content.addImage(repository, tag, options);
  }

  /** Puts in an index of manifests; Docker's manifest list if all of them are Docker's. */
  addIndex(repository: string, tag: string | undefined, manifests: readonly ManifestDescriptor[]): Descriptor {
    return this.#content.addIndex(repository, tag, manifests);
  }

  /** Moves a tag to another manifest of the repository; `undefined` removes it. */
  setTag(repository: string, tag: string, digest: string | undefined): void {
    this.#content.setTag(repository, tag, digest);
  }

  /** Removes a blob or a manifest from a repository. */
  remove(repository: string, digest: string): void {
    this.#content.remove(repository, digest);
  }

  /** A blob of any repository. */
  blob(digest: string): BlobSource | undefined {
    return this.#content.blob(digest);
  }

  /** How it takes pushes; may be changed at any time. */
  get pushes(): PushRules {
    return this.#pushSide.rules;
  }

  /** Uploads that have begun and not ended. */
  get openUploads(): number {
    return this.#pushSide.open;
  }

  /** Where a tag of a repository leads. */
  tag(repository: string, tag: string): string | undefined {
    return this.#content.repository(repository)?.tags.get(tag);
  }

  /** A manifest as it was pushed. */
  manifest(repository: string, reference: string): Buffer | undefined {
    return this.#content.manifest(repository, reference)?.bytes;
  }

  /** What a bare request is challenged with; `scope` only for a repository. */
  challenge(repository?: string, error?: string, actions?: string): string {
    return this.#door.challenge(repository, error, actions);
  }

  protected override digestOf(target: Target): string | undefined {
    const { kind, repository = '', reference = '' } = target;
    return kind === 'manifest' ? this.#content.manifest(repository, reference)?.digest : super.digestOf(target);
  }

  protected override async answer(exchange: Exchange): Promise<void> {
    const { record } = exchange;
    if (record.path === '/login') return sendPage(exchange, 200, 'Please log in');
    if (record.kind !== 'token' && this.#rate?.take(exchange) === false) return;
    if (record.kind !== 'token' && !this.#door.admit(exchange)) return;
    const mood = this.moodFor(record);
    if (await sendMoodInstead(exchange, mood)) return;
    if (this.#limit?.take(exchange, this.#door.callerOf(exchange.request)) === false) return;
    if (record.kind === 'token') return this.tokens.answer(exchange);
    if (await this.#pushSide.serve(exchange, mood)) return;
    return serve(exchange, this.#content, mood);
  }
}

/** Starts an origin: `await using origin = await startOrigin()`. */
export async function startOrigin(options: OriginOptions = {}): Promise<Origin> {
  return new Origin(options).up();
}
