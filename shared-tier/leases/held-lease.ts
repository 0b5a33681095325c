import type { LeaseApi, LeaseClaim, LeaseRecord } from './lease-api.ts';

export interface HeldLeaseOptions {
  readonly api: LeaseApi;
  readonly record: LeaseRecord;
  readonly claim: LeaseClaim;
  /** The lease is not held any more. */
  readonly ended: () => void;
  /** It could not be deleted; it stands there until somebody sweeps it away. */
  readonly left: (error: unknown) => void;
}

/** A renewal that got no answer is tried again after this part of the duration. */
const RETRY = 1 / 15;

/** A lease that this process holds and keeps renewing. Disposing it deletes the lease. */
export class HeldLease implements AsyncDisposable {
  readonly #options: HeldLeaseOptions;
  readonly #lost = new AbortController();
  #record: LeaseRecord;
  #timer: NodeJS.Timeout | undefined;
  #renewing: Promise<void> = Promise.resolve();
  #released: Promise<void> | undefined;

  constructor(options: HeldLeaseOptions) {
    this.#options = options;
    this.#record = options.record;
    this.#schedule(1 / 3);
  }

  /**
   * Aborted when somebody else is known to have taken over. That a renewal gets no answer does not count: whoever would
   * take over gets none either, or will be followed when it is seen.
   */
  get lost(): AbortSignal {
    return this.#lost.signal;
  }

  /** Deletes the lease if it is still this one's; waits for that, but at most for one call of the API. */
  async [Symbol.asyncDispose](): Promise<void> {
    this.#released ??= this.#release();
    await this.#released;
  }

  #schedule(part: number): void {
    const { durationMs } = this.#options.claim;
    this.#timer = setTimeout(() => {
      this.#renewing = this.#renew();
    }, durationMs * part).unref();
  }

  async #renew(): Promise<void> {
    try {
      const isHeld = (await this.#update()) || (await this.#adopt());
      if (isHeld && !this.#released) this.#schedule(1 / 3);
      if (!isHeld) this.#lost.abort();
    } catch {
      if (!this.#released) this.#schedule(RETRY);
    }
  }

  async #update(): Promise<boolean> {
    const { api, claim } = this.#options;
    const written = await api.update(this.#record, claim);
    if (written) this.#record = written;
    return written !== undefined;
  }

  /** A write whose answer was lost may have happened: then the lease is newer than we know, and ours all the same. */
  async #adopt(): Promise<boolean> {
    const { api, claim } = this.#options;
    const found = await api.read(this.#record.name);
    if (found?.uid !== this.#record.uid || found.holder.identity !== claim.holder.identity) return false;
    this.#record = found;
    return true;
  }

  async #release(): Promise<void> {
    clearTimeout(this.#timer);
    await this.#renewing;
    try {
      if (!this.#lost.signal.aborted && !(await this.#options.api.delete(this.#record))) await this.#releaseNewer();
    } catch (error) {
      this.#options.left(error);
    } finally {
      this.#options.ended();
    }
  }

  async #releaseNewer(): Promise<void> {
    if (await this.#adopt()) await this.#options.api.delete(this.#record);
  }
}
