import { once } from 'node:events';
import { type AddressInfo, type Socket, connect, createServer } from 'node:net';

/** The way to a server, which can freeze as the server's process would: connections stand, and nothing comes any more. */
export interface Freezable extends AsyncDisposable {
  /** `host:port` */
  readonly address: string;
  freeze(): void;
}

/** Passes everything on to a port of this machine: `await using way = await freezable(port)`. */
export async function freezable(port: number): Promise<Freezable> {
  const sockets = new Set<Socket>();
  let isFrozen = false;
  const server = createServer((client) => {
    const far = connect(port, '127.0.0.1');
    for (const socket of [client, far]) {
      sockets.add(socket);
      socket.on('error', () => undefined); // its other end is told by the close
      socket.on('close', () => {
        client.destroy();
        far.destroy();
      });
    }
    if (isFrozen) return;
    client.pipe(far);
    far.pipe(client);
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  return {
    address: `127.0.0.1:${(server.address() as AddressInfo).port}`,
    freeze: () => {
      isFrozen = true;
      for (const socket of sockets) socket.unpipe().pause();
    },
    [Symbol.asyncDispose]: async () => {
      for (const socket of sockets) socket.destroy();
      server.close();
      await once(server, 'close');
    },
  };
}
