import type { IncomingMessage } from 'node:http';
import { MAX_MANIFEST_BYTES } from '../../oci/descriptor.ts';
import { algorithmOf, digestOf } from '../../oci/digest.ts';
import { OciError } from '../../oci/error.ts';
import type { ManifestPut } from '../../oci/push-request.ts';
import { TimeLimit } from '../../service/time-limit.ts';
import { placeKey } from '../records.ts';
import type { Slots } from '../slots.ts';
import type { Addresses } from './addresses.ts';
import type { PushAnswer } from './answer.ts';
import { ClientBody } from './client-body.ts';
import type { ReferrersList } from './referrers-list.ts';
import type { Shelf } from './shelf.ts';
import type { Visit } from './uploads.ts';

export interface ManifestPutsOptions {
  readonly addresses: Addresses;
  readonly shelf: Shelf;
  readonly referrers: ReferrersList;
  /** Whose turn it is to have a manifest in memory, by repository. */
  readonly turns: Slots;
  /** See `ClientBody`. */
  readonly patienceMs?: number | undefined;
}

/** Once all of it is here, a manifest is pushed to its end, whether its client waits for that or not. */
const PUT_MS = 600_000;
/** For its turn; and then for all of it to come, because others wait for theirs. */
const TURN_MS = 20_000;
const BODY_MS = 60_000;
const NOTHING_KEPT = { keep: () => Promise.resolve(), ended: () => undefined, kept: () => undefined };

/** Puts a manifest to its origin, byte for byte. @throws OciError SIZE_INVALID, UNAVAILABLE, or what the origin says */
export async function putManifest(
  request: ManifestPut,
  { client, pusher, raw }: Visit,
  { addresses, shelf, referrers, turns, patienceMs }: ManifestPutsOptions,
): Promise<PushAnswer> {
  const { reference, mediaType, tags } = request;
  // Who may push is asked with all of it in hand, so anybody can have that many bytes gathered here.
  using turnLimit = new TimeLimit(TURN_MS);
  const inTime = AbortSignal.any([pusher.signal, turnLimit.signal]);
  using turn = await turns.take(placeKey(request), inTime);
  void turn; // held until the origin's answer is there
  using bodyLimit = new TimeLimit(BODY_MS);
  const whole = AbortSignal.any([pusher.signal, bodyLimit.signal]);
  const content = await readSmall(request, raw, whole, patienceMs);
  using putLimit = new TimeLimit(PUT_MS);
  const toItsEnd = { ...pusher, signal: putLimit.signal };
  const put = await client.pusher.putManifest(reference, { content, mediaType, tags }, toItsEnd);

  const named = reference.kind === 'digest' ? reference.digest : put.digest;
  const digest = digestOf(content, named && algorithmOf(named));
  const isRight = (named ?? digest) === digest && (put.digest ?? digest) === digest;
  await shelf.manifest(request, isRight ? digest : undefined, content, mediaType ?? '');
  const told = put.digest ?? digest;
  const pushed = { digest: told, told: mediaType ?? '', content };
  const subject = put.subject ?? (await referrers.add({ client, pusher: toItsEnd }, pushed));
  return {
    status: 201,
    headers: {
      location: addresses.manifest(request, told),
      'docker-content-digest': told,
      'oci-subject': subject,
      'oci-tag': put.tags,
    },
  };
}

async function readSmall(
  { lengthBytes = 0 }: ManifestPut,
  raw: IncomingMessage,
  signal: AbortSignal,
  patienceMs: number | undefined,
): Promise<Buffer> {
  const tooLarge = new OciError('SIZE_INVALID', `a manifest has at most ${MAX_MANIFEST_BYTES} bytes`);
  if (lengthBytes > MAX_MANIFEST_BYTES) throw tooLarge;
  const body = new ClientBody(raw, 0, NOTHING_KEPT, signal, patienceMs);
  const pieces: Uint8Array[] = [];
  try {
    for await (const piece of body.bytes(0)) {
      if (body.position > MAX_MANIFEST_BYTES) throw tooLarge;
      pieces.push(Buffer.from(piece)); // its memory is used again
    }
  } finally {
    await body.close();
  }
  signal.throwIfAborted();
  return Buffer.concat(pieces);
}
