import type { IncomingMessage } from 'node:http';
import { OciError } from '../../oci/error.ts';
import { type PushRequest, parsePushRequest } from '../../oci/push-request.ts';
import { formatReference } from '../../oci/reference.ts';
import type { Asker, RegistryNames, SpelledTarget } from '../../oci/request.ts';
import type { Exchange } from '../../service/exchange.ts';
import type { Access } from '../access/access.ts';
import { type Caller, answerFor } from '../access/caller.ts';
import type { OriginClient } from '../origin/origin-clients.ts';
import { Slots } from '../slots.ts';
import type { Addresses, Spelling, Upload } from './addresses.ts';
import type { PushAnswer } from './answer.ts';
import type { LocalUploads } from './local-uploads.ts';
import { putManifest } from './manifest-put.ts';
import { ReferrersList } from './referrers-list.ts';
import type { Shelf } from './shelf.ts';
import { Uploads, type Visit } from './uploads.ts';

export interface PushesOptions {
  readonly names: RegistryNames;
  readonly access: Access;
  readonly addresses: Addresses;
  readonly locals: LocalUploads;
  readonly shelf: Shelf;
  /** Bytes that went to an origin. */
  readonly pushed: (client: OriginClient, bytes: number) => void;
  /** See `ClientBody` and `Transfer`. */
  readonly patienceMs?: number | undefined;
  readonly stallMs?: number | undefined;
}

/** Manifests in memory, of 4 MiB at most. */
const MANIFESTS_AT_ONCE = 32;

/**
 * The write side of the distribution API: everything goes to the origin, with the pusher's own credentials, and the
 * origin's answer is the pusher's. What it has taken is cached on the way.
 */
export class Pushes {
  readonly #options: PushesOptions;
  readonly #uploads: Uploads;
  readonly #referrers: ReferrersList;
  readonly #manifests = new Slots({ slots: MANIFESTS_AT_ONCE, spare: 1 });

  constructor(options: PushesOptions) {
    this.#options = options;
    this.#uploads = new Uploads(options);
    this.#referrers = new ReferrersList(options.shelf);
  }

  /** Answers a request if it is one of these. @throws OciError */
  async serve(raw: IncomingMessage, exchange: Exchange): Promise<boolean> {
    const request = parsePushRequest(raw, this.#options.names);
    if (!request) return false;
    // Bodies come, and origins answer, at their own pace. How slow both may be is watched where it is waited for.
    raw.socket.setTimeout(0);
    const upload = request.kind === 'upload' ? this.#options.addresses.open(request) : undefined;
    const target = targetOf(request, upload);
    const { kind } = request;
    const { registry, repository } = target;
    exchange.request = { kind, registry, repository, reference: referenceOf(request, upload) };
    const { client, caller } = this.#options.access.enter(target, target);
    try {
      if (!client.origin.takesPushes) {
        throw new OciError('UNSUPPORTED', 'this registry is not pushed to from here');
      }
      const { maxAgeMs } = this.#options.access;
      const pusher = { credential: caller.credential, repository, maxAgeMs, signal: exchange.signal };
      const answer = await this.#answer(request, upload, { client, pusher, raw });
      exchange.outcome = 'origin';
      send(exchange, answer);
    } catch (reason) {
      throw refusalFor(caller, OciError.from(reason));
    }
    return true;
  }

  async #answer(request: PushRequest, upload: Upload | undefined, visit: Visit): Promise<PushAnswer> {
    const { shelf } = this.#options;
    const { client, pusher } = visit;
    switch (request.kind) {
      case 'upload-start':
        return await this.#uploads.start(request, visit);
      case 'upload':
        if (!upload) throw new OciError('BLOB_UPLOAD_UNKNOWN', 'there is no such upload');
        return await this.#uploads.goOn(upload, request, visit);
      case 'manifest-put':
        return await putManifest(request, visit, {
          ...this.#options,
          referrers: this.#referrers,
          turns: this.#manifests,
        });
      case 'delete':
        break;
    }
    const { what, reference } = request;
    const digest = what === 'manifests' && reference.kind === 'digest' ? reference.digest : undefined;
    const subject = digest && (await this.#referrers.subjectOf(visit, digest));
    await client.pusher.delete(what, reference, pusher);
    await shelf.deleted(request, reference);
    if (digest && subject) await this.#referrers.remove(visit, subject, digest);
    return { status: 202, headers: {} };
  }
}

function targetOf(request: PushRequest, upload: Upload | undefined): Spelling & Asker {
  if (request.kind !== 'upload') return request satisfies SpelledTarget;
  if (!upload) throw new OciError('BLOB_UPLOAD_UNKNOWN', 'there is no such upload');
  return { ...upload.target, authorization: request.authorization };
}

function referenceOf(request: PushRequest, upload: Upload | undefined): string {
  switch (request.kind) {
    case 'upload-start':
      return request.mount?.digest ?? request.digest ?? '';
    case 'upload':
      return request.digest ?? upload?.id ?? '';
    case 'manifest-put':
    case 'delete':
      break;
  }
  return formatReference(request.reference);
}

function send(exchange: Exchange, { status, headers, body }: PushAnswer): void {
  const all = {
    ...headers,
    'content-length': status === 204 ? undefined : `${body?.length ?? 0}`,
  };
  const known = Object.entries(all).filter((entry): entry is [string, string] => entry[1] !== undefined);
  exchange.send(status, Object.fromEntries(known), exchange.isHead ? undefined : body);
}

/** In the form that the pusher's client understands; see `answerFor`. */
function refusalFor(caller: Caller, error: OciError): OciError {
  if (error.code !== 'UNAUTHORIZED') return error;
  if (caller.authorization && !caller.credential.authorization) {
    return new OciError('UNSUPPORTED', 'credentials are not passed on to this registry', { denied: true });
  }
  return answerFor(caller, 'list', error);
}
