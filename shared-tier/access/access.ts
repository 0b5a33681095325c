import { OciError } from '../../oci/error.ts';
import type { Asker } from '../../oci/request.ts';
import type { OriginClients } from '../origin/origin-clients.ts';
import type { Place } from '../records.ts';
import { type Callers, answerFor } from './caller.ts';
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

  /**
   * Answers a question of a caller. Refusals are told in the form that this caller's client understands.
   *
   * @throws OciError NAME_UNKNOWN when the registry may not be reached; UNAUTHORIZED with the challenge; what `answer` throws
   */
  async visit<T>(question: Question, kind: 'manifest' | 'blob', answer: (visit: Visit) => Promise<T>): Promise<T> {
    const { clients, callers } = this.#options;
    const { asker, place, grant } = question;
    const client = clients.get(place.registry);
    const caller = callers.of(asker, client.origin);
    try {
      return await answer(new Visit({ ...this.#options, client, credential: caller.credential, place, token: grant }));
    } catch (reason) {
      throw answerFor(caller, kind, OciError.from(reason));
    }
  }
}
