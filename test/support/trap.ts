import { once } from 'node:events';
import { type AddressInfo, type Server, type Socket, createServer } from 'node:net';

/** A listener inside the network that nobody may be made to knock at; it counts who does. */
export class Trap implements AsyncDisposable {
  readonly #server: Server;
  readonly #sockets = new Set<Socket>();
  /** How often somebody connected. */
  connections = 0;

  constructor() {
    this.#server = createServer((socket) => {
      this.connections += 1;
      this.#sockets.add(socket);
      socket.on('error', () => undefined); // who knocked may go as he likes
      socket.on('close', () => this.#sockets.delete(socket));
      socket.end('HTTP/1.1 200 OK\r\ncontent-type: text/plain\r\ncontent-length: 6\r\n\r\nsecret');
    });
  }

  get port(): number {
    return (this.#server.address() as AddressInfo).port;
  }

  /** Listens on every address of this machine, so that no spelling of loopback leads past it. */
  async up(): Promise<this> {
    this.#server.listen(0, '::');
    await once(this.#server, 'listening');
    return this;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const socket of this.#sockets) socket.destroy();
    this.#server.close();
    await once(this.#server, 'close');
  }
}

/** Starts one: `await using trap = await startTrap()`. */
export async function startTrap(): Promise<Trap> {
  return await new Trap().up();
}
