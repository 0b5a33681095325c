import { setTimeout as sleep } from 'node:timers/promises';
import { OciError } from '../oci/error.ts';
import type { ReadPeer, Reading } from '../service/range-read.ts';
import { isUnanswered } from '../proto/status.ts';
import type { Address } from '../service/units.ts';
import { Pulse } from '../service/pulse.ts';
import type { TierClient } from './tier-client.ts';

/** `connecting`: may serve in a moment, worth a short wait. `failed`: left alone, but for an attempt now and then. */
export const REPLICA_STATES = ['healthy', 'connecting', 'failed'] as const;
export type ReplicaState = (typeof REPLICA_STATES)[number];

const JITTER = 0.2;

export interface ReplicaOptions {
  readonly connect: (address: Address) => TierClient;
  /** From one attempt to connect to the next, and from a failure to the next attempt. */
  readonly retryMs: number;
  readonly changed: (address: Address, state: ReplicaState, reason: Error | undefined) => void;
  /** The connection is lost, or could not be made: it may have another address by now. */
  readonly lost: (reason: Error) => void;
  /** It owes a sign of life: time to see which others could stand in. */
  readonly suspected: () => void;
  /** Is more silence to be borne of it? */
  readonly isNeeded: () => boolean;
  /** A read was ended, because the replica cannot go on with it. */
  readonly readFailed: () => void;
}

/**
 * One replica of the shared tier, at one address: a connection with a standing health stream, made anew when it is lost.
 * A replica that breaks off or says that it stops is left at once, and one that says nothing when another can stand in,
 * with all that was asked of it and read from it.
 */
export class Replica implements ReadPeer, Disposable {
  readonly address: Address;
  readonly #options: ReplicaOptions;
  readonly #pulse: Pulse;
  readonly #readings = new Set<(reason: OciError) => void>();
  readonly #ended = new AbortController();
  #client: TierClient | undefined;
  #state: ReplicaState = 'connecting';
  #settled = Promise.withResolvers<undefined>();
  #nextAttemptMs = 0;
  #leftAtMs = -Infinity;

  constructor(address: Address, options: ReplicaOptions) {
    this.address = address;
    this.#options = options;
    this.#pulse = new Pulse({
      ask: () => this.#client?.check(() => this.#pulse.answered()),
      suspect: () => {
        if (this.connection) options.suspected();
      },
      silent: () => this.#silent(),
      isNeeded: () => this.#isNeeded(),
    });
    void this.#live();
  }

  get state(): ReplicaState {
    return this.#state;
  }

  /** What can be asked now. */
  get connection(): TierClient | undefined {
    return this.#state === 'healthy' ? this.#client : undefined;
  }

  /** Could it stand in for another one? */
  get isHeard(): boolean {
    return this.connection !== undefined && this.#pulse.isHeard;
  }

  /** Was it left a moment ago? Then what it was asked is asked of the others. */
  get isJustLeft(): boolean {
    return performance.now() - this.#leftAtMs < this.#options.retryMs;
  }

  /** Settles when it is known whether it serves; that takes a second at most. */
  get settled(): Promise<unknown> {
    return this.#settled.promise;
  }

  /** Waits for an answer, or for the replica's end. */
  async ask<Answer>(client: TierClient, question: (client: TierClient) => Promise<Answer>): Promise<Answer> {
    const use = this.#pulse.use();
    try {
      const answer = await question(client);
      this.#pulse.heard();
      return answer;
    } catch (error) {
      if (!isUnanswered(error)) this.#pulse.heard();
      throw error;
    } finally {
      use[Symbol.dispose]();
    }
  }

  reading(failed: (reason: OciError) => void): Reading {
    const use = this.#pulse.use();
    this.#readings.add(failed);
    return {
      heard: () => this.#pulse.heard(),
      unreachable: (isSilent) => {
        if (isSilent && this.#isNeeded()) return; // it breaks this read only: too many may have come at once
        this.#options.readFailed();
        this.#leave(new OciError('UNAVAILABLE', 'its content cannot be read'));
      },
      [Symbol.dispose]: () => {
        this.#readings.delete(failed);
        use[Symbol.dispose]();
      },
    };
  }

  /** Another replica is suspected: finds out within half a second whether this one lives. */
  probe(): void {
    if (this.connection) this.#pulse.probe();
  }

  /** Ends the connection; reads go on as long as something comes. */
  [Symbol.dispose](): void {
    this.#ended.abort();
    this.#settled.resolve(undefined);
    this.#client?.[Symbol.dispose]();
  }

  async #live(): Promise<void> {
    const { signal } = this.#ended;
    while (!signal.aborted) {
      this.#nextAttemptMs = this.#retryAtMs();
      const reason = await this.#connected();
      this.#options.lost(reason);
      const waitMs = this.#nextAttemptMs - performance.now();
      // A connection that has stood for a while and is lost may be had again at once.
      this.#become(waitMs > 0 ? 'failed' : 'connecting', reason);
      if (waitMs > 0) await sleep(waitMs, undefined, { ref: false, signal }).catch(() => undefined);
    }
  }

  /** Connects, and stays connected as long as it lasts. @returns why that ended */
  async #connected(): Promise<Error> {
    using first = this.#pulse.use();
    try {
      using client = this.#options.connect(this.address);
      this.#client = client;
      for await (const isServing of client.serving()) {
        first[Symbol.dispose]();
        this.#pulse.heard();
        this.#become(
          isServing ? 'healthy' : 'failed',
          isServing ? undefined : new Error('it says that it does not serve'),
        );
      }
      return new Error('it has ended its health stream');
    } catch (error) {
      return error instanceof Error ? error : new Error('unknown', { cause: error });
    } finally {
      this.#client = undefined;
    }
  }

  #isNeeded(): boolean {
    return this.connection !== undefined && this.#options.isNeeded();
  }

  #silent(): void {
    const reason = new OciError('UNAVAILABLE', 'a replica of the shared tier says nothing any more');
    this.#leave(reason);
    for (const failed of this.#readings) {
      this.#options.readFailed();
      failed(reason);
    }
  }

  #leave(reason: OciError): void {
    if (!this.#client) return;
    this.#nextAttemptMs = this.#retryAtMs();
    this.#become('failed', reason);
    this.#client[Symbol.dispose]();
  }

  /** A little apart from the other nodes', which have lost it at the same moment. */
  #retryAtMs(): number {
    return performance.now() + this.#options.retryMs * (1 + Math.random() * JITTER);
  }

  #become(state: ReplicaState, reason: Error | undefined): void {
    if (state === this.#state || this.#ended.signal.aborted) return;
    if (this.#state === 'healthy') this.#leftAtMs = performance.now();
    if (state === 'connecting') this.#settled = Promise.withResolvers<undefined>();
    else this.#settled.resolve(undefined);
    this.#state = state;
    this.#options.changed(this.address, state, reason);
  }
}
