import { randomUUID } from 'node:crypto';
import { OciError } from '../../oci/error.ts';
import type { Bucket } from './bucket.ts';
import { keys } from './keys.ts';

const TRIES = 3;

/** The random id of the store in this bucket, made by the replica that comes first. @throws OciError UNAVAILABLE */
export async function readS3StoreId(bucket: Bucket): Promise<string> {
  for (let tries = 0; tries < TRIES; tries += 1) {
    const known = (await bucket.read(keys.id))?.text.trim();
    if (known) return known;
    const made = randomUUID();
    if ((await bucket.write(keys.id, `${made}\n`, undefined)) === undefined) continue; // another one was faster
    // Stores without conditional writes take both: who reads it back has what everybody has.
  }
  throw new OciError('UNAVAILABLE', 'the bucket does not keep the id of the store');
}
