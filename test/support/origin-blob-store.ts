import { randomBytes } from 'node:crypto';
import type { BlobSource } from './blobs.ts';
import type { RedirectTarget } from './origin-moods.ts';
import { sendContent, sendMoodInstead, sendText } from './origin-send.ts';
import { TestServer, type Exchange, type ServerOptions } from './origin-server.ts';

/** How a blob store differs from the plainest one. */
export interface BlobStoreOptions extends ServerOptions {
  /** URLs that were not handed out by `locate` are refused, and those that were are good for GET only. */
  readonly signed?: boolean;
}

/**
 * What registries redirect to: an object store behind signed URLs. Answers 400 to whoever shows it an Authorization
 * header, as S3 does, so a client that carries credentials to another host is noticed. Sends no registry headers.
 * Its paths are those of the registry that redirects to it.
 */
export class BlobStore extends TestServer implements RedirectTarget {
  readonly #find: (digest: string) => BlobSource | undefined;
  readonly #signed: boolean;
  readonly #key = randomBytes(8).toString('hex');

  constructor(find: (digest: string) => BlobSource | undefined, options: BlobStoreOptions) {
    super(options);
    this.#find = find;
    this.#signed = options.signed ?? false;
  }

  locate(path: string): string {
    return `${this.url}${path}${this.#signed ? `?signature=${this.#key}` : ''}`;
  }

  protected override async answer(exchange: Exchange): Promise<void> {
    const { request, record } = exchange;
    if (request.headers.authorization !== undefined) return refuse(exchange, 400, 'InvalidArgument');
    if (this.#signed && (record.query.get('signature') !== this.#key || request.method !== 'GET')) {
      return refuse(exchange, 403, 'SignatureDoesNotMatch');
    }
    const mood = this.moodFor(record);
    if (await sendMoodInstead(exchange, mood)) return;
    const bytes = this.#find(record.digest ?? '');
    if (bytes === undefined) return refuse(exchange, 404, 'NoSuchKey');
    await sendContent(exchange, { bytes, mediaType: 'binary/octet-stream', ranges: true }, mood);
  }
}

function refuse(exchange: Exchange, status: number, code: string): void {
  const body = `<?xml version="1.0" encoding="UTF-8"?>\n<Error><Code>${code}</Code></Error>`;
  sendText(exchange, status, { 'content-type': 'application/xml' }, body);
}

/** Starts a store of what an origin has; hand it to the origin's mood `redirectTo`. */
export async function startBlobStore(
  origin: { blob(digest: string): BlobSource | undefined },
  options: BlobStoreOptions = {},
): Promise<BlobStore> {
  return new BlobStore((digest) => origin.blob(digest), options).up();
}
