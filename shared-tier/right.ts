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

/** Callers whose rights are kept for when that of the first one ends; a herd has a few different ones at most. */
const MAX_RIGHTS = 32;

/** The rights of all who wait for the same content: whose turn it is, and who comes next. */
export class SharedRights {
  #rights: readonly Right[];

  constructor(rights: Rights) {
    this.#rights = rights;
  }

  get all(): readonly Right[] {
    return this.#rights;
  }

  get isEmpty(): boolean {
    return this.#rights.length === 0;
  }

  /** Adds that of somebody whom the origin allows to read the same. */
  join(right: Right): void {
    const isKnown = this.#rights.some((each) => isEqual(each, right));
    if (!isKnown && this.#rights.length < MAX_RIGHTS) this.#rights = [...this.#rights, right];
  }

  /** The origin has refused the one whose turn it was. */
  next(): void {
    this.#rights = this.#rights.slice(1);
  }

  clear(): void {
    this.#rights = [];
  }

  /** As `firstAllowed`; what the origin refuses has ended. */
  async use<T>(attempt: (right: Right) => Promise<T>): Promise<T> {
    return await firstAllowed(this.#rights, async (right) => {
      try {
        return await attempt(right);
      } catch (error) {
        if (isRefusal(error)) this.#rights = this.#rights.filter((each) => each !== right);
        throw error;
      }
    });
  }
}

function isEqual(a: Right, b: Right): boolean {
  return a.credential.key === b.credential.key && a.place.repository === b.place.repository;
}
