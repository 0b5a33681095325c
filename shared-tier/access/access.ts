import { OciError } from '../../oci/error.ts';
import type { Reference } from '../../oci/reference.ts';
import type { Asker } from '../../oci/request.ts';
import type { OriginClient, OriginClients } from '../origin/origin-clients.ts';
import type { Place } from '../records.ts';
import { type Caller, type Callers, answerFor } from './caller.ts';
import type { Grants } from './grants.ts';
import type { Proofs } from './proofs.ts';
import type { PublicPlaces } from './public-places.ts';
import { Visit } from './visit.ts';

export interface AccessOptions {
  readonly clients: OriginClients;
  readonly callers: Callers;
  readonly grants: Grants;
  readonly proofs: Proofs;
  readonly publicPlaces: PublicPlaces;
}

/** Who asks, and about which repository. */
export interface Question {
  readonly asker: Asker;
  readonly place: Place;
  /** A sealed grant; empty if the caller has none. */
  readonly grant: Uint8Array;
}

/** The door: who may read what is decided here, with the caller's own credentials, and nowhere else. */
export class Access {
  readonly #options: AccessOptions;

  constructor(options: AccessOptions) {
    this.#options = options;
  }

  /** Who asks, for requests that the origin itself answers each time. @throws OciError NAME_UNKNOWN */
  enter(asker: Asker, place: Place): { client: OriginClient; caller: Caller } {
    const client = this.#options.clients.get(place.registry);
    return { client, caller: this.#options.callers.of(asker, client.origin) };
  }

  /** How old a token that was got for a caller's password may be for requests that the origin itself answers. */
  get maxAgeMs(): number {
    return this.#options.proofs.maxAgeMs;
  }

  /** The origin has changed the repository, and deleted something from it. */
  changed(place: Place, deleted?: Reference): void {
    const { proofs, grants, publicPlaces } = this.#options;
    proofs.changed(place);
    if (deleted?.kind === 'digest') grants.forget(place, deleted.digest);
    if (deleted) publicPlaces.gone(place, deleted);
  }

  /**
   * Answers a question of a caller. Refusals are told in the form that this caller's client understands.
   *
   * @throws OciError NAME_UNKNOWN when the registry may not be reached; UNAUTHORIZED with the challenge; what `answer` throws
   */
  async visit<T>(question: Question, kind: 'manifest' | 'blob', answer: (visit: Visit) => Promise<T>): Promise<T> {
    const { asker, place, grant } = question;
    const { client, caller } = this.enter(asker, place);
    try {
      return await answer(new Visit({ ...this.#options, client, credential: caller.credential, place, token: grant }));
    } catch (reason) {
      throw answerFor(caller, kind, OciError.from(reason));
    }
  }
}
