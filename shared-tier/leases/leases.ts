import { createHash } from 'node:crypto';
import { LRUCache } from 'lru-cache';
import { atMost } from '../../content/at-most.ts';
import { OciError } from '../../oci/error.ts';
import { HeldLease } from './held-lease.ts';
import type { Holder, LeaseApi, LeaseClaim, LeaseRecord } from './lease-api.ts';

/** The right to fetch an object. Disposing it gives the right back, for others to see at once. */
export interface Lease extends AsyncDisposable {
  /** Aborted when another replica has taken over. */
  readonly lost: AbortSignal;
}

/** What became of the wish to fetch an object. */
export type Turn =
  | { readonly kind: 'acquired'; readonly lease: Lease; readonly isTakenOver: boolean }
  /** Another replica fetches it. */
  | { readonly kind: 'held'; readonly holder: Holder }
  /** Nobody can say. Two may fetch it then, which is harmless: content is what its digest says. */
  | { readonly kind: 'uncoordinated'; readonly reason: OciError };

export interface LeasesEvents {
  /** A lease names another store than ours: then what its holder fetches will never be found here. */
  foreignStore(holder: Holder): void;
  /** Leases of others whose holders had gone, or of an earlier life of ours, were deleted. */
  swept(count: number): void;
  /** Something could not be done that will be tried again. */
  failed(error: OciError): void;
}

export interface LeasesOptions {
  readonly api: LeaseApi;
  /** This replica; its address may be known only later than this. */
  readonly holder: () => Holder;
  /** How long a holder that does not renew is believed to be there. Whole seconds with Kubernetes. */
  readonly durationMs: number;
  readonly events: LeasesEvents;
}

/** How long after another store was met the last time replicas are not ready. */
const FOREIGN_STORE_MS = 60_000;
const MAX_OBSERVED = 10_000;
/** Others come and go between two calls, but not this often. */
const TRIES = 3;
const SWEEP_EVERY_MS = 60_000;
/** A dead holder's lease is left this many durations for who wants the object, before it is swept away. */
const SWEEP_AFTER = 2;

/** When a lease was first seen as it is now, by the clock of this process, which never goes back. */
interface Observation {
  readonly version: string;
  readonly sinceMs: number;
}

/**
 * One fetch per object in the cluster: who creates the object's lease fetches it, the others read from the holder. A
 * holder that has not renewed for the lease's duration is taken over. That is judged by how long the lease has been seen
 * unchanged *here*: clocks of other machines, and so the times in the lease, tell nothing
 * (https://pkg.go.dev/k8s.io/client-go/tools/leaderelection).
 *
 * This is no mutual exclusion: a holder that was frozen may wake up and go on. What is at stake is traffic, never content.
 */
export class Leases implements AsyncDisposable {
  readonly #options: LeasesOptions;
  readonly #observed = new LRUCache<string, Observation>(atMost(MAX_OBSERVED));
  /** Names of the leases that this process has, or is about to have. */
  readonly #mine = new Map<string, Promise<void>>();
  readonly #held = new Set<HeldLease>();
  #timer: NodeJS.Timeout | undefined;
  #sweepEveryMs = Infinity;
  /** The API gave no answer to a write of ours: there may be leases in our name that nobody holds. */
  #mayHaveLeft = false;
  #foreignStoreAtMs = -Infinity;

  constructor(options: LeasesOptions) {
    this.#options = options;
  }

  get durationMs(): number {
    return this.#options.durationMs;
  }

  /** Have there been, a short while ago, leases of replicas with another store? What they fetch would not be found here. */
  get hasMetForeignStore(): boolean {
    return performance.now() - this.#foreignStoreAtMs < FOREIGN_STORE_MS;
  }

  /** Asks for the right to fetch the object with this key. Never throws: without an answer the turn is uncoordinated. */
  async acquire(key: string): Promise<Turn> {
    const name = nameOf(key);
    // An earlier turn of ours is given back first. There is never more than one fetch of an object here.
    for (let mine = this.#mine.get(name); mine; mine = this.#mine.get(name)) await mine;
    const { promise: isOver, resolve: over } = Promise.withResolvers<undefined>();
    this.#mine.set(name, isOver);
    const ended = (): void => {
      this.#mine.delete(name);
      over(undefined);
    };
    try {
      const turn = await this.#tryToAcquire(name, ended);
      if (turn.kind !== 'acquired') ended();
      return turn;
    } catch (error) {
      ended();
      this.#left();
      return { kind: 'uncoordinated', reason: OciError.from(error) };
    }
  }

  /** Deletes leases whose holders have gone, now and from time to time. */
  startSweeping(everyMs = SWEEP_EVERY_MS): void {
    this.#sweepEveryMs = everyMs;
    this.#sweepIn(0);
  }

  async sweep(): Promise<void> {
    const { api, events, holder } = this.#options;
    let count = 0;
    this.#mayHaveLeft = false;
    try {
      for (const record of await api.list()) {
        if (this.#mine.has(record.name)) continue;
        const isOld = record.holder.identity === holder().identity || this.#isUnchangedFor(record, SWEEP_AFTER);
        if (isOld && (await api.delete(record))) count += 1;
      }
    } catch (error) {
      this.#mayHaveLeft = true;
      events.failed(OciError.from(error));
    }
    if (count > 0) events.swept(count);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#sweepEveryMs = Infinity;
    clearTimeout(this.#timer);
    await Promise.all([...this.#held].map((lease) => lease[Symbol.asyncDispose]()));
  }

  #sweepIn(ms: number): void {
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => void this.#sweepAndGoOn(), ms).unref();
  }

  async #sweepAndGoOn(): Promise<void> {
    await this.sweep();
    if (this.#sweepEveryMs === Infinity) return;
    // Replicas that started together must not all come at the same time for ever.
    this.#sweepIn((this.#mayHaveLeft ? this.#options.durationMs : this.#sweepEveryMs) * (0.5 + Math.random()));
  }

  #left(): void {
    if (this.#mayHaveLeft || this.#sweepEveryMs === Infinity) return;
    this.#mayHaveLeft = true;
    this.#sweepIn(this.#options.durationMs);
  }

  async #tryToAcquire(name: string, ended: () => void): Promise<Turn> {
    const { api, holder, durationMs } = this.#options;
    const me = holder();
    const claim = { holder: me, durationMs };
    // A write that is likely to fail costs more than a read.
    let isThere = this.#observed.has(name);
    for (let tries = 0; tries < TRIES; tries += 1) {
      const made = isThere ? undefined : await api.create(name, claim);
      if (made) return this.#hold(made, claim, false, ended);
      const found = await api.read(name);
      isThere = found !== undefined;
      if (!found) continue; // gone in between
      const isOwnEarlierLife = found.holder.identity === me.identity;
      const isExpired = this.#isUnchangedFor(found, 1);
      if (!isOwnEarlierLife && !isExpired) {
        if (found.holder.storeId !== me.storeId) this.#foreignStore(found.holder);
        return { kind: 'held', holder: found.holder };
      }
      const taken = await api.update(found, claim);
      if (taken) return this.#hold(taken, claim, true, ended);
    }
    throw new OciError('UNAVAILABLE', 'the lease changes too fast');
  }

  #foreignStore(holder: Holder): void {
    if (!this.hasMetForeignStore) this.#options.events.foreignStore(holder);
    this.#foreignStoreAtMs = performance.now();
  }

  #hold(record: LeaseRecord, claim: LeaseClaim, isTakenOver: boolean, ended: () => void): Turn {
    this.#observed.delete(record.name);
    const lease: HeldLease = new HeldLease({
      api: this.#options.api,
      record,
      claim,
      ended: () => {
        this.#held.delete(lease);
        ended();
      },
      left: (error) => {
        this.#options.events.failed(OciError.from(error));
        this.#left();
      },
    });
    this.#held.add(lease);
    return { kind: 'acquired', lease, isTakenOver };
  }

  /** Has the lease been seen as it is for so many of its durations? */
  #isUnchangedFor({ name, uid, version, durationMs }: LeaseRecord, durations: number): boolean {
    const now = performance.now();
    const known = this.#observed.get(name);
    if (known?.version === `${uid} ${version}`) return now - known.sinceMs >= durations * durationMs;
    this.#observed.set(name, { version: `${uid} ${version}`, sinceMs: now });
    return false;
  }
}

/** A name that Kubernetes takes, and that does not tell what is fetched. */
function nameOf(key: string): string {
  return `circ-${createHash('sha256').update(key).digest('hex').slice(0, 40)}`;
}
