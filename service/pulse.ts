/** What is done about a peer that is in use and says nothing. */
export interface PulseOptions {
  /** Nothing was heard for a while: ask it for a sign of life, and report `answered`. */
  readonly ask: () => void;
  /** The answer is late. */
  readonly suspect: () => void;
  /** It is taken for dead; again and again, as long as somebody uses it all the same. */
  readonly silent: () => void;
  /** Is it not to be given up yet? Then it is asked again, and again, before it is taken for dead. */
  readonly isNeeded?: (() => boolean) | undefined;
  readonly tickMs?: number;
}

/** All in ticks: a sign of life is due within 0.8 s, and a peer that gives one is asked once a second at most. */
const TICK_MS = 100;
const ASK_AT = 2;
const SUSPECT_AT = 4;
const SILENT_AT = 8;
const REST_TICKS = 10;
/** Of asking again a peer that is needed, 0.7 s each: 2.9 s of silence in all. */
const MORE_ROUNDS = 3;

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
  /** How often it was asked again since it was heard. */
  #rounds = 0;
  #timer: NodeJS.Timeout | undefined;
  #probe: Disposable | undefined;

  constructor(options: PulseOptions) {
    this.#options = options;
  }

  /** Has it given a sign of life since it was asked for one the last time? */
  get isHeard(): boolean {
    return this.#rounds === 0 && this.#silentTicks < SUSPECT_AT;
  }

  /** Something is expected of the peer from now on, until the result is disposed. */
  use(): Disposable {
    this.#uses += 1;
    if (this.#uses === 1) this.#restart(0);
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
    this.#restart(Math.min(this.#silentTicks, 0));
  }

  /** The peer has answered `ask`: there is nothing to say at the moment, but it lives. */
  answered(): void {
    this.#restart(ASK_AT - REST_TICKS);
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
    if (this.#silentTicks < SILENT_AT) return;
    if (this.#rounds < MORE_ROUNDS && this.#options.isNeeded?.() === true) {
      this.#rounds += 1;
      this.#silentTicks = ASK_AT - 1;
      return;
    }
    this.#restart(0);
    this.#endProbe();
    this.#options.silent();
  }

  #restart(silentTicks: number): void {
    this.#silentTicks = silentTicks;
    this.#rounds = 0;
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
