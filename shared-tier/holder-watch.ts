import type { Dispatcher } from 'undici';
import { OciError } from '../oci/error.ts';
import { Pulse } from '../service/pulse.ts';
import { begunPath } from './signed-reads.ts';

/** For a sign of life; whether it still matters then the pulse knows. */
const ANSWER_MS = 2_000;

/**
 * Watches over one read at another replica. That nothing comes says little: the origin may send nothing to the holder
 * either. So the holder is asked whether it knows of this read, which costs it next to nothing, once a second at most;
 * when it does not say that either, it is frozen or out of reach, and no connection would break to tell.
 */
export class HolderWatch implements Disposable {
  readonly #dead = new AbortController();
  readonly #pulse: Pulse;
  readonly #use: Disposable;

  /** @param read where it is read, by a signed read */
  constructor(agent: Dispatcher, read: { readonly origin: string; readonly path: string }) {
    this.#pulse = new Pulse({
      ask: () => void this.#ask(agent, { ...read, path: begunPath(read.path) }),
      suspect: () => undefined,
      silent: () => this.#dead.abort(new OciError('UNAVAILABLE', 'another replica says nothing any more')),
    });
    this.#use = this.#pulse.use();
  }

  /** Aborted, UNAVAILABLE, when the holder is taken for dead. */
  get signal(): AbortSignal {
    return this.#dead.signal;
  }

  heard(): void {
    this.#pulse.heard();
  }

  [Symbol.dispose](): void {
    this.#use[Symbol.dispose]();
  }

  async #ask(agent: Dispatcher, place: { readonly origin: string; readonly path: string }): Promise<void> {
    try {
      const { body } = await agent.request({ ...place, method: 'GET', headersTimeout: ANSWER_MS });
      await body.dump();
      this.#pulse.answered(); // whatever it has answered
    } catch {
      // The read will tell, or the pulse.
    }
  }
}
