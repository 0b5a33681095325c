import type { RequestReport } from '../service/exchange.ts';

/** What became of credentials at the mirror. */
export interface CredentialEvents {
  /** A client without credentials was handed its registry's challenge, or one with credentials was served. */
  readonly seen: (what: 'asked' | 'accepted') => void;
  /** So many were asked in a row, and nobody has come back with credentials that the registry accepts. */
  readonly missing: (asked: number) => void;
}

/** A pod without a (valid) secret is asked once or twice by each try to pull; this many are told. */
const MANY = 10;

/**
 * Notices when private images are served to nobody. Pull secrets come here only because containerd answers a mirror's
 * challenge with them, and only as long as it does. When it stops, what pods pull is still right, straight from the
 * registries, and circ serves what is public; nobody would notice that the thin link carries everything else again.
 */
export class ClientCredentials {
  readonly #events: CredentialEvents;
  #askedInVain = 0;

  constructor(events: CredentialEvents) {
    this.#events = events;
  }

  /** One request was answered. */
  answered({ request, status }: RequestReport): void {
    // Clients without `ns` are no containerd, and are told their registry's name by people.
    if (request === undefined || !('form' in request) || request.form !== 'ns') return;
    if (request.authorization && status < 400) {
      this.#askedInVain = 0;
      this.#events.seen('accepted');
    } else if (!request.authorization && status === 401) {
      this.#askedInVain += 1;
      this.#events.seen('asked');
      if (this.#askedInVain >= MANY) this.#events.missing(this.#askedInVain);
    }
  }
}
