import { setImmediate as nextTurn, setTimeout as sleep } from 'node:timers/promises';
import { OciError } from '../oci/error.ts';
import { isUnanswered } from '../proto/status.ts';
import { every } from '../service/every.ts';
import { type Address, hostOf } from '../service/units.ts';
import { Addresses, type Lookup, systemLookup } from './addresses.ts';
import { rankFor } from './rendezvous.ts';
import type { ReadPeer } from '../service/range-read.ts';
import { Replica, type ReplicaState } from './replica.ts';
import { TierClient, type TierQuestions } from './tier-client.ts';

/** What happens to the replicas, for metrics and log. */
export interface ReplicaEvents {
  readonly changed: (address: Address, state: ReplicaState, reason: Error | undefined) => void;
  /** A connection was lost or could not be made: as often as that happens, while `changed` tells it once. */
  readonly lost: (reason: Error) => void;
  readonly lookupFailed: (reason: unknown) => void;
  /** A question was asked again elsewhere, or a read ended to be resumed elsewhere. */
  readonly failedOver: (what: 'question' | 'read') => void;
}

export interface ReplicasOptions {
  /** Of the shared tier: a name, which may have many addresses, and the port of all. */
  readonly tier: Address;
  readonly events: ReplicaEvents;
  readonly connect?: (address: Address) => TierClient;
  readonly lookup?: Lookup;
  readonly retryMs?: number;
}

/** A failed replica is asked again after this, and the tier's name is looked up again. */
const RETRY_MS = 5_000;
/** Between look-ups, when replicas fail one after another. */
const HASTY_LOOKUP_MS = 1_000;
/** Of a question, for a resolver that hangs. */
const FIRST_LOOKUP_MS = 1_000;

/**
 * The shared tier as the agent sees it: all its replicas. The same repository or digest is asked of the same replica as
 * long as that is well, else of the next, and none costs more than a second. When there is none, questions are answered
 * UNAVAILABLE at once.
 */
export class Replicas implements TierQuestions, Disposable {
  readonly #options: ReplicasOptions;
  readonly #addresses: Addresses;
  /** While none is known there is no replica that would have the name looked up, and a node may ask for nothing for hours. */
  readonly #lookingForAny: Disposable;
  readonly #retryMs: number;
  readonly #replicas = new Map<string, Replica>();
  /** Whose connection a signed read stands and falls with. */
  readonly #peers = new WeakMap<URL, ReadPeer>();
  #isEnded = false;

  constructor(options: ReplicasOptions) {
    const { tier, events, lookup = systemLookup, retryMs = RETRY_MS } = options;
    this.#options = options;
    this.#retryMs = retryMs;
    this.#addresses = new Addresses({
      host: tier.host,
      lookup,
      found: (addresses) => this.#found(addresses),
      failed: events.lookupFailed,
    });
    void this.#addresses.refresh(0);
    const look = async (): Promise<void> => {
      if (this.#replicas.size === 0) await this.#addresses.refresh(0);
    };
    this.#lookingForAny = every(retryMs, look, events.lookupFailed);
  }

  readonly resolveManifest: TierClient['resolveManifest'] = async (place, ...question) => {
    const key = `${place.registry}/${place.repository}`;
    const { answer } = await this.#ask(key, (client) => client.resolveManifest(place, ...question));
    return answer;
  };

  readonly openBlob: TierClient['openBlob'] = async (place, digest, ...question) => {
    const ask = (client: TierClient) => client.openBlob(place, digest, ...question);
    const { answer, replica } = await this.#ask(digest, ask, ({ isPassedThrough }) => !isPassedThrough);
    const { readUrl } = answer;
    if (readUrl) this.#peers.set(readUrl, this.#replicas.get(hostOf(readUrl)) ?? replica);
    return answer;
  };

  readonly list: TierClient['list'] = async (place, ...question) => {
    const key = `${place.registry}/${place.repository}`;
    const { answer } = await this.#ask(key, (client) => client.list(place, ...question));
    return answer;
  };

  /** Who serves a URL that came with an answer. */
  peerOf(readUrl: URL): ReadPeer | undefined {
    return this.#peers.get(readUrl);
  }

  /** How many replicas are in this state. */
  count(state: ReplicaState): number {
    return this.#in(state).length;
  }

  [Symbol.dispose](): void {
    this.#isEnded = true;
    this.#lookingForAny[Symbol.dispose]();
    for (const replica of this.#replicas.values()) replica[Symbol.dispose]();
    this.#replicas.clear();
  }

  /** @param isFinal else another replica may have a better answer, and the first one is kept for when none has */
  async #ask<Answer>(
    key: string,
    question: (client: TierClient) => Promise<Answer>,
    isFinal = (_answer: Answer): boolean => true,
  ): Promise<{ replica: Replica; answer: Answer }> {
    const looking = this.#addresses.refresh(this.#retryMs);
    if (this.#replicas.size === 0) await Promise.race([looking, sleep(FIRST_LOOKUP_MS, undefined, { ref: false })]);
    // It ends: a connection is asked once, and a replica makes a new one at most every few seconds.
    let kept: { replica: Replica; answer: Answer } | undefined;
    for (const asked = new Set<TierClient>(); ;) {
      const next = this.#preferred(key, asked);
      if (!next && kept) return kept;
      const { replica, client } = next ?? (await this.#choose(key, asked));
      if (asked.size > 0) this.#options.events.failedOver('question');
      asked.add(client);
      try {
        const answer = await replica.ask(client, question);
        if (isFinal(answer)) return { replica, answer };
        kept ??= { replica, answer };
      } catch (error) {
        if (kept) return kept;
        if (!isUnanswered(error)) throw error;
        await nextTurn(); // the health stream has broken with it, and the replica knows by then
      }
    }
  }

  /** Of those that are well and have not been asked, the one that is preferred for the key. */
  #preferred(key: string, asked: ReadonlySet<TierClient>): { replica: Replica; client: TierClient } | undefined {
    for (const replica of rankFor(key, this.#in('healthy'), ({ address }) => address.host)) {
      const client = replica.connection;
      if (client && !asked.has(client)) return { replica, client };
    }
    return undefined;
  }

  /** The same, waiting for those that may be well in a moment. */
  async #choose(key: string, asked: ReadonlySet<TierClient>): Promise<{ replica: Replica; client: TierClient }> {
    for (;;) {
      const preferred = this.#preferred(key, asked);
      if (preferred) return preferred;
      const connecting = this.#in('connecting');
      if (connecting.length === 0) throw new OciError('UNAVAILABLE', 'no replica of the shared tier can be asked now');
      await Promise.race(connecting.map((replica) => replica.settled));
    }
  }

  #in(state: ReplicaState): Replica[] {
    return [...this.#replicas.values()].filter((replica) => replica.state === state);
  }

  #found(addresses: ReadonlySet<string>): void {
    if (this.#isEnded) return;
    for (const [host, replica] of this.#replicas) {
      if (addresses.has(host)) continue;
      this.#replicas.delete(host);
      replica[Symbol.dispose]();
    }
    for (const host of addresses) {
      if (!this.#replicas.has(host)) this.#replicas.set(host, this.#replica(host));
    }
  }

  #replica(host: string): Replica {
    const { tier, events, connect = (address) => new TierClient(address) } = this.#options;
    const made: Replica = new Replica(
      { host, port: tier.port },
      {
        connect,
        retryMs: this.#retryMs,
        changed: events.changed,
        lost: (reason) => {
          events.lost(reason);
          if (!this.#isEnded) void this.#addresses.refresh(HASTY_LOOKUP_MS);
        },
        suspected: () => {
          for (const replica of this.#replicas.values()) replica.probe();
        },
        isNeeded: () => {
          const others = [...this.#replicas.values()].filter((replica) => replica !== made);
          const hasMoreToDo = others.some(({ isJustLeft }) => isJustLeft);
          return hasMoreToDo || (others.length > 0 && !others.some(({ isHeard }) => isHeard));
        },
        readFailed: () => events.failedOver('read'),
      },
    );
    return made;
  }
}
