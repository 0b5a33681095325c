import {
  AbortMultipartUploadCommand,
  CompleteMultipartUploadCommand,
  CreateMultipartUploadCommand,
  ListMultipartUploadsCommand,
  PutObjectCommand,
  UploadPartCommand,
} from '@aws-sdk/client-s3';
import type { Readable } from 'node:stream';
import type { Bucket } from './bucket.ts';
import { bucketError, isAbsent } from './bucket-error.ts';

/** An upload that somebody began and has not ended. */
export interface OpenUpload {
  /** As the bucket has it, prefix included. */
  readonly fullKey: string;
  readonly id: string;
  readonly begunAtMs: number;
}

/** One request, its body aside. */
const REQUEST_MS = 30_000;
/** Putting 10,000 parts together takes a store a while. */
const COMPLETE_MS = 5 * 60_000;

/**
 * Writes an object whole, one try.
 *
 * @throws what the SDK throws: the caller decides whether another try is worth while (the same for `sendPart`)
 */
export async function sendObject(
  bucket: Bucket,
  key: string,
  sizeBytes: number,
  body: Readable,
  signal: AbortSignal,
): Promise<void> {
  const input = { ...bucket.at(key), Body: body, ContentLength: sizeBytes };
  await bucket.clients.bodies.send(new PutObjectCommand(input), { abortSignal: signal });
}

/** Sends one part. @param number from 1 on @returns its version */
export async function sendPart(
  bucket: Bucket,
  { key, id }: { key: string; id: string },
  number: number,
  sizeBytes: number,
  body: Readable,
  signal: AbortSignal,
): Promise<string> {
  const input = { ...bucket.at(key), UploadId: id, PartNumber: number, Body: body, ContentLength: sizeBytes };
  const { ETag = '' } = await bucket.clients.bodies.send(new UploadPartCommand(input), { abortSignal: signal });
  return ETag;
}

/** @returns the id of the upload @throws OciError UNAVAILABLE, like all that follow */
export async function beginUpload(bucket: Bucket, key: string, signal: AbortSignal): Promise<string> {
  try {
    const options = { abortSignal: AbortSignal.any([signal, AbortSignal.timeout(REQUEST_MS)]) };
    const input = { ...bucket.at(key), ContentType: 'application/octet-stream' };
    const { UploadId = '' } = await bucket.clients.questions.send(new CreateMultipartUploadCommand(input), options);
    return UploadId;
  } catch (error) {
    throw bucketError(error);
  }
}

/** Makes the parts, in order, one object. */
export async function completeUpload(
  bucket: Bucket,
  { key, id, sizeBytes }: { key: string; id: string; sizeBytes: number },
  etags: readonly string[],
): Promise<void> {
  const parts = etags.map((ETag, index) => ({ ETag, PartNumber: index + 1 }));
  const input = { ...bucket.at(key), UploadId: id, MultipartUpload: { Parts: parts } };
  try {
    const options = { abortSignal: AbortSignal.timeout(COMPLETE_MS) };
    await bucket.clients.questions.send(new CompleteMultipartUploadCommand(input), options);
  } catch (error) {
    // Done, but the answer was lost: to the second try there is no such upload any more.
    if (isAbsent(error) && (await bucket.stat(key))?.sizeBytes === sizeBytes) return;
    throw bucketError(error);
  }
}

/** Gives an upload up, and the room that its parts take. */
export async function abortUpload(bucket: Bucket, fullKey: string, id: string): Promise<void> {
  try {
    const input = { Bucket: bucket.at('').Bucket, Key: fullKey, UploadId: id };
    const options = { abortSignal: AbortSignal.timeout(REQUEST_MS) };
    await bucket.clients.questions.send(new AbortMultipartUploadCommand(input), options);
  } catch (error) {
    if (!isAbsent(error)) throw bucketError(error);
  }
}

/** The uploads below the bucket's prefix that are under way, whoever began them. */
export async function* openUploads(bucket: Bucket): AsyncGenerator<OpenUpload> {
  const { Bucket: name, Key: prefix } = bucket.at('');
  let marker: { KeyMarker?: string; UploadIdMarker?: string } | undefined = {};
  while (marker) {
    const input: ConstructorParameters<typeof ListMultipartUploadsCommand>[0] = { Bucket: name, ...marker };
    // Not every store takes an empty prefix.
    if (prefix !== '') input.Prefix = prefix;
    const options = { abortSignal: AbortSignal.timeout(REQUEST_MS) };
    const page = await bucket.clients.questions
      .send(new ListMultipartUploadsCommand(input), options)
      .catch((e: unknown) => {
        throw bucketError(e);
      });
    for (const { Key: fullKey = '', UploadId: id = '', Initiated } of page.Uploads ?? []) {
      yield { fullKey, id, begunAtMs: Initiated?.getTime() ?? Date.now() };
    }
    marker = page.IsTruncated
      ? {
          ...(page.NextKeyMarker !== undefined && { KeyMarker: page.NextKeyMarker }),
          ...(page.NextUploadIdMarker !== undefined && { UploadIdMarker: page.NextUploadIdMarker }),
        }
      : undefined;
  }
}
