import type { Descriptor } from '../../oci/descriptor.ts';
import type { Algorithm } from '../../oci/digest.ts';
import type { BlobSource } from './blobs.ts';
import { Access, type AccessOptions } from './origin-access.ts';
import { OriginContent, type AddedImage, type ImageOptions, type ManifestDescriptor } from './origin-content.ts';
import type { Moods } from './origin-moods.ts';
import type { Target } from './origin-routes.ts';
import { sendError, sendMoodInstead, sendPage } from './origin-send.ts';
import { serve } from './origin-serve.ts';
import { TestServer, type Exchange } from './origin-server.ts';
import { TokenAuthority, type TokenServer } from './token-server.ts';

/** How an origin begins; moods and who may read what can be changed at any time. */
export interface OriginOptions extends AccessOptions {
  readonly mood?: Moods;
  /**
   * `none`: everybody reads everything. `bearer`: a token is needed, which anonymous callers get for public
   * repositories. `basic`: name and password are needed for private repositories, nothing for public ones.
   */
  readonly auth?: 'none' | 'bearer' | 'basic';
  /** Where tokens come from, and who may read what then; without it, the origin's own `/token`. */
  readonly tokenServer?: TokenServer;
  /** `service` of challenges: the origin's host unless given; `null`: none, as nvcr.io. */
  readonly service?: string | null;
}

/**
 * The read side of a registry on 127.0.0.1, for tests: right by the distribution specification unless a mood is set.
 * @see https://github.com/opencontainers/distribution-spec/blob/main/spec.md
 */
export class Origin extends TestServer {
  readonly access: Access;
  /** The tokens that this origin takes; those of `tokenServer`, if there is one. */
  readonly tokens: TokenAuthority;
  readonly #content = new OriginContent();
  readonly #options: OriginOptions;

  constructor(options: OriginOptions) {
    super();
    this.#options = options;
    this.mood = options.mood ?? {};
    this.tokens = options.tokenServer?.authority ?? new TokenAuthority(new Access(options));
    this.access = this.tokens.access;
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

  /** What a bare request is challenged with; `scope` only for a repository. */
  challenge(repository?: string, error?: string): string {
    if (this.#options.auth === 'basic') return 'Basic realm="origin"';
    const { service = this.host, tokenServer } = this.#options;
    return [
      `Bearer realm="${tokenServer?.realm ?? `${this.url}/token`}"`,
      ...(service === null ? [] : [`service="${service}"`]),
      ...(repository === undefined ? [] : [`scope="repository:${repository}:pull"`]),
      ...(error === undefined ? [] : [`error="${error}"`]),
    ].join(',');
  }

  protected override digestOf(target: Target): string | undefined {
    const { kind, repository = '', reference = '' } = target;
    return kind === 'manifest' ? this.#content.manifest(repository, reference)?.digest : super.digestOf(target);
  }

  protected override async answer(exchange: Exchange): Promise<void> {
    const { record } = exchange;
    if (record.path === '/login') return sendPage(exchange, 200, 'Please log in');
    if (record.kind !== 'token' && !this.#admit(exchange)) return;
    const mood = this.moodFor(record);
    if (await sendMoodInstead(exchange, mood)) return;
    if (record.kind === 'token') return this.tokens.answer(exchange);
    return serve(exchange, this.#content, mood);
  }

  /** Lets a request through, or answers it with a challenge or a refusal. */
  #admit(exchange: Exchange): boolean {
    const { authorization } = exchange.request.headers;
    if (this.#options.auth === 'bearer') return this.#admitBearer(exchange, authorization);
    if (this.#options.auth === 'basic') return this.#admitBasic(exchange, authorization);
    return true;
  }

  #admitBearer(exchange: Exchange, authorization: string | undefined): boolean {
    const { repository } = exchange.record;
    const token = /^bearer +(?<token>\S+)$/i.exec(authorization ?? '')?.groups?.['token'];
    const worth = token === undefined ? undefined : this.tokens.check(token, repository);
    if (worth === 'good') return true;
    const error =
      worth === undefined ? undefined : { invalid: 'invalid_token', insufficient: 'insufficient_scope' }[worth];
    sendError(exchange, 401, 'UNAUTHORIZED', { 'www-authenticate': this.challenge(repository, error) });
    return false;
  }

  #admitBasic(exchange: Exchange, authorization: string | undefined): boolean {
    const { repository } = exchange.record;
    const caller = this.access.callerOf(authorization);
    const isOpen = repository === undefined ? caller !== 'anonymous' : this.access.mayRead(caller, repository);
    if (isOpen && caller !== 'wrong') return true;
    const isKnown = caller !== 'anonymous' && caller !== 'wrong';
    if (isKnown) sendError(exchange, 403, 'DENIED');
    else sendError(exchange, 401, 'UNAUTHORIZED', { 'www-authenticate': this.challenge() });
    return false;
  }
}

/** Starts an origin: `await using origin = await startOrigin()`. */
export async function startOrigin(options: OriginOptions = {}): Promise<Origin> {
  return new Origin(options).up();
}
