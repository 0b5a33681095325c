import { OciError } from '../oci/error.ts';

/** Is there no such file? */
export function isMissing(error: unknown): boolean {
  return error instanceof Error && 'code' in error && error.code === 'ENOENT';
}

/** Bytes that are gone or wrong, or on a part of the disk that cannot be read any more. */
export function isDamage(error: unknown): boolean {
  const cause = error instanceof OciError ? error.cause : error;
  const isUnreadable = cause instanceof Error && 'code' in cause && cause.code === 'EIO';
  return isMissing(error) || isUnreadable || (error instanceof OciError && error.code === 'CORRUPT');
}
