import { S3ServiceException } from '@aws-sdk/client-s3';
import { OciError } from '../../oci/error.ts';

/** Is there no such object (or upload)? That there is no such bucket is another matter. */
export function isAbsent(error: unknown): boolean {
  return statusOf(error) === 404 && nameOf(error) !== 'NoSuchBucket';
}

/** Has somebody else written what the condition of this write was about? */
export function isConflict(error: unknown): boolean {
  return statusOf(error) === 412 || statusOf(error) === 409;
}

/** A store that cannot do what was asked for: conditional writes are younger than many of them. */
export function isNotImplemented(error: unknown): boolean {
  return statusOf(error) === 501;
}

/** Refusals stay refusals, however often one asks. */
export function isWorthARetry(error: unknown): boolean {
  const status = statusOf(error);
  return status === undefined || status >= 500 || status === 408 || status === 429;
}

/** What went wrong with the bucket, without what was sent. */
export function bucketError(error: unknown): OciError {
  if (error instanceof OciError) return error;
  if (error instanceof TypeError || error instanceof RangeError) return OciError.from(error); // a bug of ours
  if (!(error instanceof S3ServiceException)) {
    return new OciError('UNAVAILABLE', 'the bucket does not answer now', { cause: error });
  }
  const { name, message } = error;
  const cause = new Error(`${name} (${statusOf(error)}): ${message}`);
  return new OciError('UNAVAILABLE', 'the bucket refuses now', { cause });
}

function statusOf(error: unknown): number | undefined {
  return error instanceof S3ServiceException ? error.$metadata.httpStatusCode : undefined;
}

function nameOf(error: unknown): string | undefined {
  return error instanceof S3ServiceException ? error.name : undefined;
}
