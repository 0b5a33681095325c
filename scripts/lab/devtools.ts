import type { Readable, Writable } from 'node:stream';

/** Something that happened in a page: its method's name, and what is told of it. */
export interface DevToolsEvent {
  readonly method: string;
  readonly params: Readonly<Record<string, unknown>>;
}

interface Message extends DevToolsEvent {
  readonly id?: number;
  readonly sessionId?: string;
  readonly result?: Readonly<Record<string, unknown>>;
  readonly error?: { readonly message: string };
}

interface Call {
  readonly resolve: (result: Readonly<Record<string, unknown>>) => void;
  readonly reject: (error: Error) => void;
}

/** Bound of one call. */
const CALL_MS = 30_000;

/**
 * The DevTools protocol over a pair of pipes: JSON, each message ended by a zero byte. Pipes work from one network
 * namespace into another, a port would not.
 *
 * @see https://chromedevtools.github.io/devtools-protocol/
 */
export class DevTools {
  readonly #calls = new Map<number, Call>();
  readonly #listeners = new Map<string, (event: DevToolsEvent) => void>();
  readonly #output: Writable;
  #last = 0;
  #rest = '';

  constructor(output: Writable, input: Readable) {
    this.#output = output;
    input.setEncoding('utf8');
    input.on('data', (text: string) => this.#read(text));
    input.on('close', () => this.#end());
    // Whoever writes to a browser that has ended is told by the end of its answers.
    output.on('error', () => undefined);
  }

  /** @throws what the browser says, or that it has said nothing */
  async call(method: string, params = {}, sessionId?: string): Promise<Readonly<Record<string, unknown>>> {
    const id = (this.#last += 1);
    const { promise, resolve, reject } = Promise.withResolvers<Readonly<Record<string, unknown>>>();
    this.#calls.set(id, { resolve, reject });
    this.#output.write(`${JSON.stringify({ id, method, params, ...(sessionId && { sessionId }) })}\0`);
    const timer = setTimeout(() => reject(new Error(`the browser did not answer ${method}`)), CALL_MS);
    try {
      return await promise;
    } finally {
      clearTimeout(timer);
      this.#calls.delete(id);
    }
  }

  /** Tells of everything that happens in a session. */
  listen(sessionId: string, listener: (event: DevToolsEvent) => void): void {
    this.#listeners.set(sessionId, listener);
  }

  #read(text: string): void {
    const messages = (this.#rest + text).split('\0');
    this.#rest = messages.pop() ?? '';
    for (const message of messages) this.#take(JSON.parse(message) as Message);
  }

  #take({ id, method, params, sessionId, result, error }: Message): void {
    if (id === undefined) {
      this.#listeners.get(sessionId ?? '')?.({ method, params });
      return;
    }
    const call = this.#calls.get(id);
    if (error) call?.reject(new Error(error.message));
    else call?.resolve(result ?? {});
  }

  #end(): void {
    for (const { reject } of this.#calls.values()) reject(new Error('the browser has ended'));
  }
}
