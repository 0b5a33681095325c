import { OciError } from '../oci/error.ts';
import type { Credential } from './origin/credential.ts';
import type { Place } from './records.ts';

/** With what, and out of which repository, something may be fetched. */
export interface Right {
  readonly place: Place;
  readonly credential: Credential;
}

/** A no of the origin: it is said to the credentials that were shown, and tells nothing of others. */
export function isRefusal(error: unknown): boolean {
  const { code } = OciError.from(error);
  return code === 'BLOB_UNKNOWN' || code === 'MANIFEST_UNKNOWN' || code === 'UNAUTHORIZED';
}

/** What one caller has to fetch something with, in the order in which it is tried; all out of one repository. */
export type Rights = readonly [Right, ...Right[]];

/** Does something with the first right to which the origin does not say no. @throws what it says to the last one */
export async function firstAllowed<T>(rights: readonly Right[], attempt: (right: Right) => Promise<T>): Promise<T> {
  const [right, ...others] = rights;
  if (!right) throw new OciError('BLOB_UNKNOWN', 'nobody has a right to it');
  try {
    return await attempt(right);
  } catch (error) {
    if (others.length === 0 || !isRefusal(error)) throw error;
    return await firstAllowed(others, attempt);
  }
}
