import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { expect, test } from 'vitest';
import { hasBegun } from '../../agent/read-begun.ts';

/** A server that answers all with this status, and what it was asked. */
async function answering(status: number) {
  const asked: string[] = [];
  const server = createServer((request, response) => {
    asked.push(`${request.method} ${request.url}`);
    response.writeHead(status, { location: '/elsewhere' }).end();
  });
  const { promise, resolve } = Promise.withResolvers<undefined>();
  server.listen(0, '127.0.0.1', () => resolve(undefined));
  await promise;
  const { port } = server.address() as AddressInfo;
  const close = (): void => {
    server.closeAllConnections();
    server.close();
  };
  return { url: new URL(`http://127.0.0.1:${port}/circ/v1/read/sealed`), asked, [Symbol.dispose]: close };
}

test.each([
  [204, true],
  [404, false],
  [200, false],
  [302, false],
  [500, false],
])('a target that answers %i says %s', async (status, isBegun) => {
  using server = await answering(status);
  expect(await hasBegun(server.url)).toBe(isBegun);
  expect(server.asked).toEqual(['GET /circ/v1/begun/sealed']);
});

test('of a target that cannot be reached nothing is known', async () => {
  using server = await answering(204);
  const { url } = server;
  server[Symbol.dispose]();
  await expect(hasBegun(url)).rejects.toMatchObject({ code: 'ECONNREFUSED' });
});
