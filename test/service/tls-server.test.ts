import { once } from 'node:events';
import type { AddressInfo } from 'node:net';
import { type ConnectionOptions, type TLSSocket, connect } from 'node:tls';
import { describe, expect, test } from 'vitest';
import { createTlsServer } from '../../service/tls-server.ts';
import { TestCa } from '../support/certificates.ts';
import { testMaterial } from '../support/material.ts';

const ca = new TestCa();
const [one, other] = [ca.issue({ names: ['one.test'] }), ca.issue({ names: ['other.test'] })];

async function serving() {
  const stack = new AsyncDisposableStack();
  const tls = stack.use(await testMaterial(one));
  const failures: Error[] = [];
  const { material } = tls;
  const server = createTlsServer({ material, handshakeFailed: (error) => failures.push(error) }, (_request, response) =>
    response.writeHead(200, { 'content-length': 5 }).end('hello'),
  );
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  stack.defer(async () => {
    server.closeAllConnections();
    server.close();
    await once(server, 'close');
  });
  const { port } = server.address() as AddressInfo;
  return { tls, port, failures, [Symbol.asyncDispose]: () => stack[Symbol.asyncDispose]() };
}

/** A connection of its own. */
class Client implements Disposable {
  readonly #socket: TLSSocket;

  constructor(port: number) {
    this.#socket = connect({ host: '127.0.0.1', port, ca: ca.pem, checkServerIdentity: () => undefined });
  }

  /** Asks, and gives the name in the certificate of who answered. */
  async ask(): Promise<string> {
    this.#socket.write('GET / HTTP/1.1\r\nhost: one.test\r\n\r\n');
    const [data] = (await once(this.#socket, 'data')) as [Buffer];
    if (!/^HTTP\/1\.1 200 [^]*hello$/.test(data.toString())) throw new Error(`answered ${data.toString()}`);
    return this.#socket.getPeerCertificate().subjectaltname ?? '';
  }

  [Symbol.dispose](): void {
    this.#socket.destroy();
  }
}

async function handshake(options: ConnectionOptions): Promise<string> {
  const socket = connect({ host: '127.0.0.1', servername: 'one.test', ca: ca.pem, ...options });
  try {
    await once(socket, 'secureConnect');
    return socket.getProtocol() ?? '';
  } catch (error) {
    return error instanceof Error && 'code' in error ? String(error.code) : 'failed';
  } finally {
    socket.destroy();
  }
}

describe('a TLS server', () => {
  test('gives new connections the new certificate, while old ones go on with theirs', async () => {
    await using it = await serving();
    using old = new Client(it.port);
    expect(await old.ask()).toBe('DNS:one.test');
    await it.tls.rotate(other);
    using fresh = new Client(it.port);
    expect(await fresh.ask()).toBe('DNS:other.test');
    expect(await old.ask()).toBe('DNS:one.test');
  });

  test('goes on with the old certificate when the new files are no use', async () => {
    await using it = await serving();
    await it.tls.rotate({ cert: other.cert, key: one.key });
    using fresh = new Client(it.port);
    expect(await fresh.ask()).toBe('DNS:one.test');
  });

  test('speaks TLS 1.3, and 1.2 to who can no better, and nothing older', async () => {
    await using it = await serving();
    const { port } = it;
    expect(await handshake({ port })).toBe('TLSv1.3');
    expect(await handshake({ port, maxVersion: 'TLSv1.2' })).toBe('TLSv1.2');
    const ciphers = 'DEFAULT@SECLEVEL=0';
    expect(await handshake({ port, minVersion: 'TLSv1.1', maxVersion: 'TLSv1.1', ciphers })).toMatch(/^E|^failed/);
  });

  test('tells of clients that do not trust it', async () => {
    await using it = await serving();
    expect(await handshake({ port: it.port, ca: new TestCa('another CA').pem })).toMatch(/UNABLE_TO|SELF_SIGNED/);
    await expect.poll(() => it.failures.length).toBe(1);
  });
});
