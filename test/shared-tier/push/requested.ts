import { once } from 'node:events';
import { type IncomingMessage, createServer, request } from 'node:http';
import type { AddressInfo } from 'node:net';

/** A request as a server gets it, and the client's side of it. */
export async function requested() {
  const arrived = Promise.withResolvers<IncomingMessage>();
  const server = createServer((raw, response) => {
    response.on('error', () => undefined);
    arrived.resolve(raw);
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const client = request({ port: (server.address() as AddressInfo).port, host: '127.0.0.1', method: 'PUT' });
  client.on('error', () => undefined);
  client.flushHeaders();
  const raw = await arrived.promise;
  return {
    raw,
    client,
    [Symbol.asyncDispose]: async () => {
      client.destroy();
      server.closeAllConnections();
      server.close();
      await once(server, 'close');
    },
  };
}
