import type { Content, Ingest } from '../../content/store.ts';
import type { Digest } from '../../oci/digest.ts';
import { OciError } from '../../oci/error.ts';
import type { ByteRange } from '../../oci/range.ts';
import type { Upload } from './upload.ts';

export interface S3IngestOptions {
  /** Where the bytes go, are verified, and are followed by readers. */
  readonly spooled: Ingest;
  /** Undefined when the bucket has these bytes already. */
  readonly upload: ((source: Content) => Upload) | undefined;
  /** The bytes are verified and in the spool, and in the bucket as well unless there is a failure. */
  readonly verified: (failure: OciError | undefined) => Promise<void>;
}

/**
 * An ingest into the spool that goes up into the bucket while it comes in. That the bucket does not take it harms nobody
 * who wants the content now: it is served from the spool.
 */
export class S3Ingest implements Ingest {
  readonly digest: Digest;
  readonly sizeBytes: number;
  readonly #options: S3IngestOptions;
  /** A follower of our own, because the bytes are read until they are all in the bucket. */
  readonly #source: Content;
  readonly #upload: Upload | undefined;

  constructor(options: S3IngestOptions) {
    this.#options = options;
    this.digest = options.spooled.digest;
    this.sizeBytes = options.spooled.sizeBytes;
    this.#source = options.spooled.follow();
    this.#upload = options.upload?.(this.#source);
  }

  get failure(): OciError | undefined {
    return this.#options.spooled.failure;
  }

  async write(position: number, pieces: readonly Uint8Array[]): Promise<void> {
    const { spooled } = this.#options;
    await spooled.write(position, pieces);
    this.#upload?.advance((range) => spooled.gaps(range).length === 0);
  }

  gaps(range: ByteRange): ByteRange[] {
    return this.#options.spooled.gaps(range);
  }

  wanted(): number[] {
    return this.#options.spooled.wanted();
  }

  follow(): Content {
    return this.#options.spooled.follow();
  }

  async commit(): Promise<void> {
    const { spooled, verified } = this.#options;
    await spooled.commit();
    await verified(this.#upload && (await failureOf(this.#upload.finish())));
    await this.#source[Symbol.asyncDispose]();
  }

  abort(reason: unknown): void {
    this.#options.spooled.abort(reason);
    void this.#end();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.abort(new OciError('UNAVAILABLE', 'the content stopped arriving'));
    await this.#end();
    await this.#options.spooled[Symbol.asyncDispose]();
  }

  async #end(): Promise<void> {
    await this.#upload?.abort();
    await this.#source[Symbol.asyncDispose]();
  }
}

/** What was thrown, if anything was. */
export async function failureOf(promise: Promise<unknown>): Promise<OciError | undefined> {
  return await promise.then(
    () => undefined,
    (error: unknown) => OciError.from(error),
  );
}
