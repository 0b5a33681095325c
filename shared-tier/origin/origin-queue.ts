import { OriginDown, type RetryLater } from './retry.ts';

/** One request, until it is answered or given up. */
export interface Ticket {
  /** Others wait for what it brings: it goes before those that only ask whether something may be read. */
  readonly isFirst: boolean;
  /** Of `performance.now()`. */
  readonly deadlineMs: number;
  /** Its place among the others. */
  readonly number: number;
  notBeforeMs: number;
  /** How often it was refused when it was the first one after a pause. */
  strikes: number;
  isCounted: boolean;
}

interface Waiting {
  readonly ticket: Ticket;
  readonly enter: () => void;
  readonly leave: (reason: unknown) => void;
}

/** So many questions wait for an origin, and as many more that bring bytes; who comes then goes there without us, or comes again. */
const MAX_WAITING = 1_000;
/** Between two attempts while an origin limits and lets some in: short, so that what it allows is used. */
const PAUSE_MS = { least: 20, usual: 250, longest: 1_000, own: 125, longestOwn: 5_000 } as const;
const LONG_MS = 60_000;
const TOO_MANY = new Error('too many wait for this origin');
const TOO_LATE = new Error('its turn at the origin has not come in time');

/**
 * The queue before one origin. As long as that answers, requests only wait for a connection. When it has had enough (429,
 * 503) all wait, and come in the order in which they came first: a thousand nodes that start the same image need as many
 * answers, and if each tried by itself, those that are unlucky would be given up and go to the origin too.
 *
 * Who is refused again while others are let in is limited for its own sake (an account that has no pulls left), and
 * holds nobody up.
 */
export class OriginQueue {
  readonly #atOnce: number;
  #waiting: Waiting[] = [];
  #timer: NodeJS.Timeout | undefined;
  #count = 0;
  #asking = 0;
  #isLimiting = false;
  #closedUntilMs = 0;
  #pauseMs: number = PAUSE_MS.usual / 2;
  /** Since it was last closed, and between that and the time before. */
  #accepted = 0;
  #acceptedBefore = 0;

  /** @param atOnce questions that are asked at the same time */
  constructor(atOnce: number) {
    this.#atOnce = atOnce;
  }

  ticket(options: Pick<Ticket, 'isFirst' | 'deadlineMs'>): Ticket {
    this.#count += 1;
    return { ...options, number: this.#count, notBeforeMs: 0, strikes: 0, isCounted: false };
  }

  /** Waits for its turn. @throws OriginDown at the deadline, and when too many wait already; the signal's reason */
  async enter(ticket: Ticket, signal: AbortSignal): Promise<void> {
    signal.throwIfAborted();
    if (this.#waiting.length >= (ticket.isFirst ? 2 : 1) * MAX_WAITING) throw new OriginDown(TOO_MANY);
    const { promise, resolve, reject } = Promise.withResolvers<undefined>();
    const waiting = { ticket, enter: () => resolve(undefined), leave: reject };
    this.#insert(waiting);
    // Who only waits for a connection is bounded by his signal.
    const patienceMs = this.#isLimiting ? Math.max(0, ticket.deadlineMs - performance.now()) : LONG_MS;
    const late = setTimeout(() => this.#drop(waiting, new OriginDown(TOO_LATE)), patienceMs);
    const gone = (): void => this.#drop(waiting, signal.reason);
    signal.addEventListener('abort', gone, { once: true });
    try {
      this.#admit();
      await promise;
    } finally {
      clearTimeout(late);
      signal.removeEventListener('abort', gone);
    }
  }

  /** Enters if its turn is now. */
  tryToEnter(ticket: Ticket): boolean {
    let isIn = false;
    const waiting = { ticket, enter: () => void (isIn = true), leave: () => undefined };
    this.#insert(waiting);
    this.#admit();
    if (!isIn) this.#drop(waiting, undefined);
    return isIn;
  }

  /** It has entered, and asks nothing now after all. */
  withdraw(ticket: Ticket): void {
    this.#leave(ticket);
    this.#admit();
  }

  /** The origin has answered something, or cannot be reached. */
  answered(ticket: Ticket): void {
    this.#leave(ticket);
    this.#accepted += 1;
    this.#pauseMs = Math.min(this.#pauseMs, PAUSE_MS.usual); // long ones are for when nobody is let in
    this.#openWhenIdle();
    this.#admit();
  }

  /** The origin has had enough. */
  limited(ticket: Ticket, { afterMs }: RetryLater): void {
    this.#leave(ticket);
    const now = performance.now();
    const isSuspect = ticket.strikes > 0;
    const wasFirst = this.#accepted === 0;
    // That the one who went ahead is refused says more of it than it says of those who came after others.
    if (wasFirst) ticket.strikes += 1;
    if (!isSuspect || (wasFirst && this.#acceptedBefore === 0)) this.#close(now);
    const ownMs = wasFirst || isSuspect ? PAUSE_MS.own * 2 ** ticket.strikes : 0;
    const waitMs = Math.max(afterMs, Math.min(ownMs, PAUSE_MS.longestOwn)) * (1 + Math.random() / 4);
    ticket.notBeforeMs = now + waitMs;
    this.#admit();
  }

  /** @throws OriginDown when it cannot be asked again in time */
  assertHope({ notBeforeMs, deadlineMs }: Ticket, { cause }: RetryLater): void {
    if (notBeforeMs <= deadlineMs) return;
    this.#openWhenIdle();
    throw new OriginDown(cause);
  }

  /** Where nobody waits there is no order to keep. */
  #openWhenIdle(): void {
    if (this.#asking > 0 || this.#waiting.length > 0) return;
    this.#isLimiting = false;
    this.#closedUntilMs = 0;
  }

  #close(now: number): void {
    if (now < this.#closedUntilMs) return; // by one that was asked at the same time
    const factor = this.#accepted > 1 ? 1.25 : this.#accepted === 1 ? 0.8 : 2;
    const most = this.#accepted > 0 ? PAUSE_MS.usual : PAUSE_MS.longest;
    this.#pauseMs = Math.min(most, Math.max(PAUSE_MS.least, this.#pauseMs * factor));
    this.#isLimiting = true;
    this.#acceptedBefore = this.#accepted;
    this.#accepted = 0;
    this.#closedUntilMs = now + this.#pauseMs;
  }

  #leave(ticket: Ticket): void {
    if (ticket.isCounted) this.#asking -= 1;
    ticket.isCounted = false;
  }

  #insert(waiting: Waiting): void {
    const at = this.#waiting.findIndex(({ ticket: other }) => isBefore(waiting.ticket, other));
    this.#waiting.splice(at < 0 ? this.#waiting.length : at, 0, waiting);
  }

  #drop(waiting: Waiting, reason: unknown): void {
    this.#waiting = this.#waiting.filter((each) => each !== waiting);
    waiting.leave(reason);
  }

  /** Lets in whose turn it is, and looks again when that changes with time. */
  #admit(): void {
    clearTimeout(this.#timer);
    const now = performance.now();
    const isClosed = now < this.#closedUntilMs;
    // After a pause one goes ahead, then as many as have been let in.
    const atOnce = this.#isLimiting ? Math.min(this.#atOnce, Math.max(1, this.#accepted)) : this.#atOnce;
    // The one that goes ahead should not be one that has been refused for its own sake perhaps.
    const isAhead = this.#isLimiting && this.#accepted === 0;
    const trusted = isAhead && this.#waiting.find(({ ticket }) => ticket.strikes === 0 && ticket.notBeforeMs <= now);
    const staying: Waiting[] = [];
    let nextMs = isClosed ? this.#closedUntilMs : Infinity;
    for (const waiting of this.#waiting) {
      const { ticket } = waiting;
      // What brings bytes has connections of its own.
      const isCounted = !ticket.isFirst || this.#isLimiting;
      const isFree = !isCounted || this.#asking < atOnce;
      const isPassed = trusted && trusted !== waiting && this.#asking === 0;
      if (!isClosed && isFree && !isPassed && ticket.notBeforeMs <= now) {
        ticket.isCounted = isCounted;
        if (isCounted) this.#asking += 1;
        waiting.enter();
      } else {
        staying.push(waiting);
        if (!isClosed && ticket.notBeforeMs > now) nextMs = Math.min(nextMs, ticket.notBeforeMs);
      }
    }
    this.#waiting = staying;
    if (staying.length > 0 && nextMs < Infinity) {
      this.#timer = setTimeout(() => this.#admit(), Math.max(1, nextMs - now));
    }
  }
}

function isBefore(a: Ticket, b: Ticket): boolean {
  return a.isFirst === b.isFirst ? a.number < b.number : a.isFirst;
}
