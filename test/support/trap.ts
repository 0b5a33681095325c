import { TcpListener } from './tcp-listener.ts';

/** A listener inside the network that nobody may be made to knock at; it counts who does. */
export class Trap implements AsyncDisposable {
  readonly #listener = new TcpListener((socket) => {
    this.connections += 1;
    socket.end('HTTP/1.1 200 OK\r\ncontent-type: text/plain\r\ncontent-length: 6\r\n\r\nsecret');
  });
  /** How often somebody connected. */
  connections = 0;

  get port(): number {
    return this.#listener.port;
  }

  /** Listens on every address of this machine, so that no spelling of loopback leads past it. */
  async up(): Promise<this> {
    await this.#listener.listen('::');
    return this;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#listener[Symbol.asyncDispose]();
  }
}

/** Starts one: `await using trap = await startTrap()`. */
export async function startTrap(): Promise<Trap> {
  return await new Trap().up();
}
