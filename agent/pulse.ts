/** What is done about a peer that is in use and says nothing. */
export interface PulseOptions {
  /** Nothing was heard for a while: ask it for a sign of life, and report `answered`. */
  readonly ask: () => void;
  /** The answer is late. Called once per silence. */
  readonly suspect: () => void;
  /** It is taken for dead; again and again, as long as somebody uses it all the same. */
  readonly silent: () => void;
  readonly tickMs?: number;
}

/** All in ticks: a sign of life is due within 0.9 s, and a peer that gives one is asked once a second at most. */
const TICK_MS = 100;
const ASK_AT = 2;
const SUSPECT_AT = 4;
const SILENT_AT = 9;
const REST_TICKS = 10;

/**
 * Notices that a peer is frozen or out of reach, where no connection breaks to tell. It costs nothing while nobody
 * uses the peer, and next to nothing while the peer is heard.
 *
 * Time is counted in turns of our own event loop: when that was busy for a second, one tick has passed, not ten, and
 * what the peer has sent meanwhile is read before the next.
 */
export class Pulse {
  readonly #options: PulseOptions;
  #uses = 0;
  #silentTicks = 0;
  #timer: NodeJS.Timeout | undefined;
  #probe: Disposable | undefined;

  constructor(options: PulseOptions) {
    this.#options = options;
  }

  /** Something is expected of the peer from now on, until the result is disposed. */
  use(): Disposable {
    this.#uses += 1;
    if (this.#uses === 1) this.#silentTicks = 0;
    this.#timer ??= setInterval(() => this.#tick(), this.#options.tickMs ?? TICK_MS);
    let isOver = false;
    return {
      [Symbol.dispose]: () => {
        if (isOver) return;
        isOver = true;
        this.#uses -= 1;
        if (this.#uses === 0) this.#stop();
      },
    };
  }

  /** The peer has sent something. */
  heard(): void {
    this.#silentTicks = Math.min(this.#silentTicks, 0);
  }

  /** The peer has answered `ask`: there is nothing to say at the moment, but it lives. */
  answered(): void {
    this.#silentTicks = ASK_AT - REST_TICKS;
    this.#endProbe();
  }

  /** Another peer is suspected: asks this one now, to know in time whether it can stand in. */
  probe(): void {
    if (this.#timer && this.#silentTicks >= ASK_AT) return; // it is being asked
    this.#probe ??= this.use();
    this.#silentTicks = SUSPECT_AT;
    this.#options.ask();
  }

  #tick(): void {
    this.#silentTicks += 1;
    if (this.#silentTicks === ASK_AT) this.#options.ask();
    if (this.#silentTicks === SUSPECT_AT) this.#options.suspect();
    if (this.#silentTicks !== SILENT_AT) return;
    this.#silentTicks = 0;
    this.#endProbe();
    this.#options.silent();
  }

  #endProbe(): void {
    this.#probe?.[Symbol.dispose]();
    this.#probe = undefined;
  }

  #stop(): void {
    clearInterval(this.#timer);
    this.#timer = undefined;
  }
}
