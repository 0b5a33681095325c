import { once } from 'node:events';
import { type AddressInfo, type Server, type Socket, connect, createServer } from 'node:net';
import { Worker } from 'node:worker_threads';
import type { Address } from '../../service/units.ts';

/** A wire to a server, which can be cut so that neither end is told: what is sent is lost, nothing breaks. */
export class Wire implements AsyncDisposable {
  readonly #server: Server;
  readonly #sockets = new Set<Socket>();
  #isCut = false;
  /** Where it leads; for the next connections. */
  target: Address = { host: '127.0.0.1', port: 0 };

  constructor() {
    this.#server = createServer((near) => {
      const far = this.#isCut ? undefined : connect(this.target);
      for (const socket of [near, ...(far ? [far] : [])]) {
        this.#sockets.add(socket);
        socket.on('close', () => this.#sockets.delete(socket));
        socket.on('error', () => undefined); // what breaks is told by the other end's close
      }
      if (!far) return;
      const pass = (from: Socket, to: Socket): void => {
        from.on('data', (data) => this.#isCut || to.write(data));
        from.on('close', () => this.#isCut || to.destroy());
      };
      pass(near, far);
      pass(far, near);
    });
  }

  get address(): Address {
    const { address, port } = this.#server.address() as AddressInfo;
    return { host: address, port };
  }

  async up({ host, port }: Address): Promise<this> {
    this.#server.listen(port, host);
    await once(this.#server, 'listening');
    return this;
  }

  /** From now on nothing passes. */
  cut(): void {
    this.#isCut = true;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const socket of this.#sockets) socket.destroy();
    this.#server.close();
    await once(this.#server, 'close');
  }
}

/** A wire that begins there: `await using wire = await wireAt({ host: '127.0.0.2', port: 0 })`. */
export async function wireAt(address: Address): Promise<Wire> {
  return await new Wire().up(address);
}

/** An address where connections are neither accepted nor refused: nobody takes them, and the queue is full. */
export interface BlackHole extends AsyncDisposable {
  readonly address: Address;
}

const LISTEN_AND_FREEZE = `
  const { parentPort } = require('node:worker_threads');
  const server = require('node:net').createServer().listen(0, '127.0.0.1', 1, () => {
    parentPort.postMessage(server.address().port);
    setImmediate(() => Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0));
  });`;

export async function blackHole(): Promise<BlackHole> {
  const worker = new Worker(LISTEN_AND_FREEZE, { eval: true });
  const [port] = (await once(worker, 'message')) as [number];
  const queue: Socket[] = [];
  // The kernel completes as many connections as the queue takes; the first that it leaves alone shows that it is full.
  for (let isFull = false; !isFull;) {
    const socket = connect(port, '127.0.0.1');
    queue.push(socket);
    socket.setTimeout(300);
    isFull = await Promise.race([once(socket, 'connect').then(() => false), once(socket, 'timeout').then(() => true)]);
  }
  return {
    address: { host: '127.0.0.1', port },
    [Symbol.asyncDispose]: async () => {
      for (const socket of queue) socket.destroy();
      await worker.terminate();
    },
  };
}
