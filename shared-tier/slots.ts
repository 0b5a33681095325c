import { OciError } from '../oci/error.ts';

export interface SlotsOptions {
  /** How many things happen at once. */
  readonly slots: number;
  /** So many of the slots no key gets alone: whoever else comes finds one at once. None unless given. */
  readonly spare?: number;
  /** How many may wait, all keys together; 1,000 unless given. */
  readonly maxWaiting?: number;
}

interface Waiter {
  readonly enter: () => void;
  readonly refuse: (error: Error) => void;
}

/** Those of one key. */
interface Queue {
  inUse: number;
  readonly waiting: Set<Waiter>;
}

const MAX_WAITING = 1_000;

/**
 * A bound on how many things happen at once; the others wait their turn. Keys share the slots fairly, whatever each of
 * them asks for: the next slot is of the key that has the fewest; of several, the one whose last turn, or arrival, is
 * longest ago.
 */
export class Slots {
  readonly #mostOfOne: number;
  readonly #maxWaiting: number;
  #free: number;
  #waiting = 0;
  /** In the order of their last turns, or arrivals. */
  readonly #queues = new Map<string, Queue>();

  constructor({ slots, spare = 0, maxWaiting = MAX_WAITING }: SlotsOptions) {
    this.#free = slots;
    this.#mostOfOne = slots - spare;
    this.#maxWaiting = maxWaiting;
  }

  /** Of how many keys there is somebody, at work or waiting. */
  get keys(): number {
    return this.#queues.size;
  }

  /** How many wait, all keys together. */
  get waiting(): number {
    return this.#waiting;
  }

  /**
   * Waits for a slot; the result gives it back. Rejects with the signal's reason.
   *
   * @throws OciError UNAVAILABLE when too many wait. That is said to those of the key of which most wait
   */
  async take(key: string, signal: AbortSignal): Promise<Disposable> {
    signal.throwIfAborted();
    const queue = this.#queues.get(key) ?? { inUse: 0, waiting: new Set() };
    if (this.#isNext(queue)) this.#enter(key, queue);
    else await this.#turn(key, queue, signal);
    return this.#taken(key, queue);
  }

  /** A slot, if one is free. */
  tryToTake(key: string): Disposable | undefined {
    const queue = this.#queues.get(key) ?? { inUse: 0, waiting: new Set() };
    if (!this.#isNext(queue)) return undefined;
    this.#enter(key, queue);
    return this.#taken(key, queue);
  }

  #taken(key: string, queue: Queue): Disposable {
    let isTaken = true;
    return {
      [Symbol.dispose]: () => {
        if (isTaken) this.#giveBack(key, queue);
        isTaken = false;
      },
    };
  }

  #isNext({ inUse }: Queue): boolean {
    return this.#free > 0 && inUse < this.#mostOfOne;
  }

  #enter(key: string, queue: Queue): void {
    this.#free -= 1;
    queue.inUse += 1;
    this.#queues.delete(key);
    this.#queues.set(key, queue);
  }

  async #turn(key: string, queue: Queue, signal: AbortSignal): Promise<void> {
    if (this.#waiting >= this.#maxWaiting) this.#makeRoom(queue);
    this.#queues.set(key, queue);
    this.#waiting += 1;
    await new Promise<void>((resolve, reject) => {
      const end = (): void => {
        signal.removeEventListener('abort', leave);
        queue.waiting.delete(waiter);
        this.#waiting -= 1;
      };
      const waiter: Waiter = {
        enter: () => {
          end();
          resolve();
        },
        refuse: (error) => {
          end();
          this.#forget(key, queue);
          reject(error);
        },
      };
      const leave = (): void => waiter.refuse(signal.reason as Error);
      signal.addEventListener('abort', leave, { once: true });
      queue.waiting.add(waiter);
    });
  }

  /** Who came last of the longest queue has to go, if that is not who comes now. */
  #makeRoom(own: Queue): void {
    const full = new OciError('UNAVAILABLE', 'too many wait for their turn');
    const [longest = own] = [...this.#queues.values()].toSorted((a, b) => b.waiting.size - a.waiting.size);
    const last = [...longest.waiting].at(-1);
    if (!last || longest.waiting.size <= own.waiting.size + 1) throw full;
    last.refuse(full);
  }

  #giveBack(key: string, queue: Queue): void {
    this.#free += 1;
    queue.inUse -= 1;
    // Who has just had a turn comes after those with as many.
    const load = (other: Queue): number => other.inUse + (other === queue ? 1 : 0);
    let next: [string, Queue] | undefined;
    for (const each of this.#queues) {
      const [, other] = each;
      const isNext = other.waiting.size > 0 && this.#isNext(other);
      if (isNext && (!next || load(other) < load(next[1]))) next = each;
    }
    if (next) {
      this.#enter(...next);
      const [first] = next[1].waiting;
      first?.enter();
    }
    this.#forget(key, queue);
  }

  #forget(key: string, { inUse, waiting }: Queue): void {
    if (inUse === 0 && waiting.size === 0) this.#queues.delete(key);
  }
}
