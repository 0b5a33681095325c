import type { Digest } from '../oci/digest.ts';
import { OciError } from '../oci/error.ts';
import type { Holder } from './leases/lease-api.ts';
import type { Leases, Turn } from './leases/leases.ts';
import type { Place } from './records.ts';

/** Why an object may leave its origin more often than once. */
export type DuplicateReason =
  /** Nobody can say who fetches it. */
  | 'uncoordinated'
  /** Whoever fetches it says so, and cannot be read from. */
  | 'unreachable'
  /** Whoever was fetching it has gone. */
  | 'taken-over'
  /** The store does not say whether it has it. */
  | 'store-away';

export interface TurnsEvents {
  /** An object is fetched here though another replica may fetch it, or has fetched a part of it. */
  duplicated(place: Place, reason: DuplicateReason, error: OciError | undefined): void;
  /** Another replica fetches it; it is read from there. */
  followed(place: Place, holder: Holder): void;
}

export interface TurnsOptions {
  readonly leases: Leases;
  readonly events: TurnsEvents;
  readonly place: Place;
  readonly digest: Digest;
}

/** How often a holder that cannot be read from is tried again. */
export const RETRY_MS = 500;
/** What a holder that died has beyond the duration of its lease until it is given up. */
const GRACE_MS = 2_000;

/** The turns that one retrieval takes, one after the other. Disposing gives the last one back. */
export class Turns implements AsyncDisposable {
  readonly #options: TurnsOptions;
  #turn: Promise<Turn> | undefined;
  /** Whose bytes do not come, and since when. */
  #stuck: { readonly holder: string; readonly sinceMs: number } | undefined;
  /** Why what is fetched in this turn may come twice; undefined when it does not. */
  #doubt: { readonly reason: DuplicateReason; readonly error?: OciError } | undefined;

  constructor(options: TurnsOptions) {
    this.#options = options;
  }

  /** Gives the last one back, and asks for the next one. Never rejects. */
  async next(): Promise<Turn> {
    const before = this.#turn;
    this.#turn = giveBack(before).then(() => this.#take(before !== undefined));
    return await this.#turn;
  }

  /**
   * The holder sent nothing in its turn. If it has died its lease is to be had when the duration is over; if the lease is
   * renewed that long, the holder is alive and just cannot be read from.
   */
  isStuck(holder: Holder): void {
    this.#stuck ??= { holder: holder.identity, sinceMs: performance.now() };
  }

  /**
   * In our turn it was not found in the store, and is fetched from the origin now.
   *
   * @param isStoreAway it may be in the store, which does not answer
   */
  fetches({ isStoreAway = false } = {}): void {
    const { events, place } = this.#options;
    const doubt = this.#doubt ?? (isStoreAway ? { reason: 'store-away' as const } : undefined);
    if (doubt) events.duplicated(place, doubt.reason, doubt.error);
    this.#doubt = undefined;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const turn = this.#turn;
    this.#turn = undefined;
    await giveBack(turn);
  }

  /** @param isLater another replica had its turn at it before, and may have left a part of it behind, or nothing */
  async #take(isLater: boolean): Promise<Turn> {
    const { leases, events, place, digest } = this.#options;
    const turn = await leases.acquire(`${place.registry} ${digest}`);
    this.#doubt = undefined;
    if (turn.kind === 'held') {
      if (this.#stuck?.holder !== turn.holder.identity) {
        this.#stuck = undefined;
        events.followed(place, turn.holder);
      } else if (performance.now() - this.#stuck.sinceMs > leases.durationMs + GRACE_MS) {
        return this.#goAlone('unreachable', undefined);
      }
    } else if (turn.kind === 'uncoordinated') {
      return this.#goAlone('uncoordinated', turn.reason);
    } else if (turn.isTakenOver || isLater) {
      // Whether its lease is still there says nothing: it may have been swept away, or given back by one that stops.
      this.#doubt = { reason: 'taken-over' };
    }
    return turn;
  }

  #goAlone(reason: DuplicateReason, error: OciError | undefined): Turn {
    this.#doubt = { reason, ...(error && { error }) };
    return { kind: 'uncoordinated', reason: error ?? new OciError('UNAVAILABLE', 'another replica cannot be reached') };
  }
}

async function giveBack(taken: Promise<Turn> | undefined): Promise<void> {
  const turn = await taken;
  if (turn?.kind === 'acquired') await turn.lease[Symbol.asyncDispose]();
}
