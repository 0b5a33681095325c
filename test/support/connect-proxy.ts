import { createServer, request as forward } from 'node:http';
import { type AddressInfo, type Socket, connect } from 'node:net';

/** An egress proxy on 127.0.0.1 that remembers what it was asked for. */
export interface ConnectProxy extends AsyncDisposable {
  /** `http://127.0.0.1:port` */
  readonly url: string;
  /** `host:port` of each CONNECT, and the absolute URL of each plain request, in order. */
  readonly asked: readonly string[];
}

export interface ConnectProxyOptions {
  /** Where tunnels lead, whatever host was asked for; by default to that host. */
  readonly to?: { readonly port: number };
  /** Takes connections, and never answers. */
  readonly silent?: boolean;
}

/** Starts a proxy: `await using proxy = await startConnectProxy()`. */
export async function startConnectProxy({ to, silent = false }: ConnectProxyOptions = {}): Promise<ConnectProxy> {
  const asked: string[] = [];
  const sockets = new Set<Socket>();
  const keep = (socket: Socket): Socket => {
    sockets.add(socket);
    socket.on('close', () => sockets.delete(socket));
    socket.on('error', () => socket.destroy());
    return socket;
  };
  const server = createServer((request, response) => {
    asked.push(request.url ?? '');
    if (silent) return;
    const { method, headers } = request;
    const outgoing = forward(request.url ?? '', { ...(method !== undefined && { method }), headers, agent: false });
    outgoing.on('response', (answer) => {
      response.writeHead(answer.statusCode ?? 502, answer.headers);
      answer.pipe(response);
    });
    outgoing.on('error', () => response.destroy());
    request.pipe(outgoing);
  });
  server.on('connection', keep);
  server.on('connect', (request, client: Socket) => {
    asked.push(request.url ?? '');
    if (silent) return;
    const { hostname, port } = new URL(`http://${request.url}`);
    const target = keep(connect(to?.port ?? Number(port === '' ? 80 : port), to ? '127.0.0.1' : hostname));
    target.on('connect', () => {
      client.write('HTTP/1.1 200 OK\r\n\r\n');
      client.pipe(target).pipe(client);
    });
    target.on('close', () => client.destroy());
  });
  const listening = Promise.withResolvers<undefined>();
  server.listen(0, '127.0.0.1', () => listening.resolve(undefined));
  await listening.promise;
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    asked,
    [Symbol.asyncDispose]: async () => {
      const closed = Promise.withResolvers<undefined>();
      server.close(() => closed.resolve(undefined));
      for (const socket of sockets) socket.destroy();
      await closed.promise;
    },
  };
}
