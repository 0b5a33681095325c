import type { IncomingMessage } from 'node:http';
import type { Digest } from '../../oci/digest.ts';
import { OciError } from '../../oci/error.ts';
import type { Body, UploadRequest, UploadStart } from '../../oci/push-request.ts';
import { TimeLimit } from '../../service/time-limit.ts';
import type { OriginClient } from '../origin/origin-clients.ts';
import { OriginRefused } from '../origin/origin-refused.ts';
import type { OriginUpload } from '../origin/push-client.ts';
import type { Pusher } from '../origin/push-http.ts';
import { type Addresses, type Spelling, type Upload, newUploadId } from './addresses.ts';
import { type PushAnswer, uploadRange } from './answer.ts';
import { ClientBody } from './client-body.ts';
import type { LocalUpload, LocalUploads, Progress } from './local-uploads.ts';
import type { Shelf } from './shelf.ts';
import { Transfer } from './transfer.ts';

export interface UploadsOptions {
  readonly addresses: Addresses;
  readonly locals: LocalUploads;
  readonly shelf: Shelf;
  /** Bytes that went to an origin. */
  readonly pushed: (client: OriginClient, bytes: number) => void;
  /** See `ClientBody` and `Transfer`. */
  readonly patienceMs?: number | undefined;
  readonly stallMs?: number | undefined;
}

/** One request for a blob that is to be pushed, and on whose behalf. */
export interface Visit {
  readonly client: OriginClient;
  /** Its signal ends when its client hangs up. */
  readonly pusher: Pusher;
  readonly raw: IncomingMessage;
}

/** The end of an upload is not given up when its client hangs up: the origin makes something of it, and so do we. */
const FINISH_MS = 600_000;

/** Uploads of blobs: each request goes on at the origin, and its answer is the origin's. */
export class Uploads {
  readonly #options: UploadsOptions;

  constructor(options: UploadsOptions) {
    this.#options = options;
  }

  /** Begins an upload; or mounts, or takes the whole blob at once. @throws OciError what the origin says */
  async start(request: UploadStart, visit: Visit): Promise<PushAnswer> {
    const { addresses, shelf } = this.#options;
    const begun = await begin(request, visit);
    if (begun === undefined && request.mount) {
      const { digest } = request.mount;
      shelf.held(request, digest);
      return created(addresses.blob(request, digest), digest);
    }
    if (begun === undefined) throw new OciError('UNAVAILABLE', 'the origin gave no usable answer');
    const target: Spelling = request;
    const upload: Upload = { id: newUploadId(), target, location: begun.location, offset: 0 };
    this.#options.locals.begin(upload.id, upload);
    if (request.digest !== undefined) return await this.#finish(upload, request, request.digest, undefined, visit);
    return this.#accepted(upload, upload, begun.minPartBytes);
  }

  /** Goes on with an upload. @throws OciError what the origin says; RANGE_INVALID for a part that is not the next one */
  async goOn(upload: Upload, request: UploadRequest, visit: Visit): Promise<PushAnswer> {
    switch (request.action) {
      case 'append':
        return await this.#append(upload, request, visit);
      case 'finish':
        if (request.digest === undefined) throw new OciError('DIGEST_INVALID', 'the digest is missing');
        return await this.#finish(upload, request, request.digest, request.range, visit);
      case 'status':
        return await this.#status(upload, visit);
      case 'cancel':
        break;
    }
    return await this.#cancel(upload, visit);
  }

  async #append(upload: Upload, request: UploadRequest, visit: Visit): Promise<PushAnswer> {
    return await this.#work(upload, visit, async (local, visitor) => {
      const progress = await this.#next(upload, local, request.range, visitor);
      const appended = await this.#transfer(local, progress, request, visitor, (transfer) => transfer.append());
      await this.#reached(local, appended);
      return this.#accepted(upload, appended);
    });
  }

  async #finish(
    upload: Upload,
    body: Body,
    digest: Digest,
    range: UploadRequest['range'],
    visit: Visit,
  ): Promise<PushAnswer> {
    const { addresses, shelf, locals } = this.#options;
    const { target } = upload;
    await this.#work(upload, visit, async (local, visitor) => {
      try {
        const progress = await this.#next(upload, local, range, visitor);
        await this.#end(local, progress, { ...body, range }, digest, visitor);
        await shelf.blob(target, digest, local);
      } catch (error) {
        // An earlier try may have ended the upload, and its answer been lost.
        const sizeBytes = Math.max(local.sentBytes, upload.offset + (body.lengthBytes ?? 0));
        if (!(await isThere(error, digest, sizeBytes, visitor))) throw error;
        shelf.held(target, digest);
      }
    });
    await locals.forget(upload.id);
    // Not the digest that the origin tells: some tell another one of the same bytes.
    return created(addresses.blob(target, digest), digest);
  }

  async #end(
    local: LocalUpload,
    progress: Progress,
    part: Body & Pick<UploadRequest, 'range'>,
    digest: Digest,
    visit: Visit,
  ): Promise<void> {
    let rest: Progress | undefined = progress;
    if (part.lengthBytes !== 0) {
      rest = await this.#transfer(local, progress, part, visit, (transfer) => transfer.finish(digest));
    }
    const { client, pusher } = visit;
    if (!rest) return;
    using limit = new TimeLimit(FINISH_MS);
    await client.pusher.finish(rest.location, digest, { ...pusher, signal: limit.signal });
  }

  async #status(upload: Upload, { client, pusher }: Visit): Promise<PushAnswer> {
    // Without a turn: it is what a client asks whose last request may still be under way.
    const known = newer(this.#options.locals.progressOf(upload.id), upload);
    const { location, offset = known.offset } = await client.pusher.status(known.location, known.offset, pusher);
    return { ...this.#accepted(upload, { location, offset }), status: 204 };
  }

  async #cancel(upload: Upload, { client, pusher }: Visit): Promise<PushAnswer> {
    const { locals } = this.#options;
    const { location } = await locals.work(upload, async (local) => newer(local.progress, upload));
    await locals.forget(upload.id);
    await client.pusher.cancel(location, pusher);
    return { status: 204, headers: {} };
  }

  /** Alone with the upload; what is kept of it ends with a no of the origin. */
  async #work<T>(upload: Upload, visit: Visit, work: (local: LocalUpload, visit: Visit) => Promise<T>): Promise<T> {
    return await this.#options.locals.work(upload, async (local, interrupted) => {
      const signal = AbortSignal.any([visit.pusher.signal, interrupted]);
      try {
        return await work(local, { ...visit, pusher: { ...visit.pusher, signal } });
      } catch (error) {
        // After a no there is nothing to keep; but a part that came too early may come again.
        if (error instanceof OriginRefused && error.status !== 416) await local.drop();
        throw error;
      }
    });
  }

  /** Where the next part belongs. An address may be older than what has happened since; then the origin knows. */
  async #next(
    upload: Upload,
    local: LocalUpload,
    range: UploadRequest['range'],
    { client, pusher }: Visit,
  ): Promise<Progress> {
    let progress = newer(local.progress, upload);
    const isSure = progress === local.progress;
    if (!isSure || (range && range.start !== progress.offset)) {
      progress = await asked(progress, client, pusher);
    }
    // Who does not say where its part begins means that it goes on where its address says.
    const start = range?.start ?? (isSure ? progress.offset : upload.offset);
    if (start !== progress.offset) {
      throw new OciError('RANGE_INVALID', `the next part of this upload begins at ${progress.offset}`);
    }
    await this.#reached(local, progress);
    return progress;
  }

  async #transfer<T>(
    local: LocalUpload,
    progress: Progress,
    { lengthBytes, range }: Body & Pick<UploadRequest, 'range'>,
    { client, pusher, raw }: Visit,
    send: (transfer: Transfer) => Promise<T>,
  ): Promise<T> {
    const { pushed, patienceMs, stallMs } = this.#options;
    const body = new ClientBody(raw, progress.offset, local, pusher.signal, patienceMs);
    // Until it has ended, only the origin knows how far it has come.
    local.progress = undefined;
    try {
      const isPlaced = range !== undefined;
      const options = { client: client.pusher, pusher, body, lengthBytes, isPlaced, stallMs };
      return await send(new Transfer(progress, options));
    } finally {
      await body.close();
      local.sentBytes = body.position;
      pushed(client, body.position - progress.offset);
    }
  }

  async #reached(local: LocalUpload, progress: Progress): Promise<void> {
    local.progress = progress;
    await local.align(progress.offset);
  }

  #accepted(upload: Upload, progress: Progress, minPartBytes?: string): PushAnswer {
    const headers = {
      location: this.#options.addresses.upload({ ...upload, ...progress }),
      range: uploadRange(progress.offset),
      'docker-upload-uuid': upload.id,
      'oci-chunk-min-length': minPartBytes,
    };
    return { status: 202, headers };
  }
}

/** What this replica has seen last, unless another one has gone on since. */
function newer(local: Progress | undefined, upload: Upload): Progress {
  return local && local.offset >= upload.offset ? local : upload;
}

/** What the origin has. Not every registry tells; the next request will show it. */
async function asked(progress: Progress, client: OriginClient, pusher: Pusher): Promise<Progress> {
  try {
    const { location, offset } = await client.pusher.status(progress.location, progress.offset, pusher);
    return { location, offset: offset ?? progress.offset };
  } catch (error) {
    if (error instanceof OriginRefused) return progress;
    throw error;
  }
}

/** What cannot be mounted is uploaded: whoever asks for a mount is ready for that. */
async function begin(request: UploadStart, { client, pusher }: Visit): Promise<OriginUpload | undefined> {
  try {
    return await client.pusher.start(request, pusher);
  } catch (error) {
    const isRefused = error instanceof OriginRefused || OciError.from(error).code === 'UNAUTHORIZED';
    if (!request.mount || !isRefused) throw error;
    return await client.pusher.start({ ...request, mount: undefined }, pusher);
  }
}

/** Does the repository have the blob, though the origin does not know the upload (any more)? */
async function isThere(
  error: unknown,
  digest: Digest,
  sizeBytes: number,
  { client, pusher: { repository, credential, maxAgeMs, signal } }: Visit,
): Promise<boolean> {
  if (!(error instanceof OriginRefused) || error.status !== 404) return false;
  try {
    return (
      (await client.registry.headBlob(repository, digest, { credential, maxAgeMs, signal })).sizeBytes === sizeBytes
    );
  } catch {
    return false; // what it said first is what is told
  }
}

function created(location: string, digest: Digest): PushAnswer {
  return { status: 201, headers: { location, 'docker-content-digest': digest } };
}
