import type { ServerResponse } from 'node:http';
import { describe, expect, test } from 'vitest';
import { digestOf } from '../../oci/digest.ts';
import { Replicas } from '../../shared-tier/replicas.ts';
import { Seal } from '../../shared-tier/seal.ts';
import type { ReadClaims } from '../../shared-tier/signed-reads.ts';
import { APP, REGISTRY, failureOf, forever, httpServer } from './fixtures.ts';

const seal = new Seal<ReadClaims>(Buffer.alloc(32, 1), 'read');
const digest = digestOf(Buffer.from('content'));

function sourceAt(replicas: Replicas, address: string) {
  return replicas.source({ identity: 'other', address, storeId: 'store' }, { registry: REGISTRY });
}

describe('a read at another replica', () => {
  test('is signed for this content, short-lived, and for the range that is wanted', async () => {
    await using replicas = new Replicas({ seal });
    await using server = await httpServer((_request, response) => {
      response.writeHead(206, { 'content-range': 'bytes 2-4/7', 'content-length': '3' }).end('nte');
    });
    const body = await sourceAt(replicas, server.host).getBlob(APP, digest, { start: 2, end: 5 }, { signal: forever });
    expect(body).toMatchObject({ start: 2, sizeBytes: 7, isRange: true });
    const pieces = [];
    for await (const piece of body.pieces) pieces.push(piece);
    expect(Buffer.concat(pieces).toString()).toBe('nte');
    const [request] = server.requests;
    expect([request?.method, request?.range]).toEqual(['GET', 'bytes=2-4']);
    const claims = seal.open(Buffer.from(request?.url.replace('/circ/v1/read/', '') ?? '', 'base64url'));
    expect(claims).toMatchObject({ registry: REGISTRY, digest, method: 'GET' });
    expect((claims?.endsAtMs ?? Infinity) - Date.now()).toBeLessThanOrEqual(10_000);
  });

  test.each<[string, number, Record<string, string>]>([
    ['does not have it', 404, {}],
    ['sends all of it', 200, {}],
    ['sends another range', 206, { 'content-range': 'bytes 0-4/7' }],
    ['sends somewhere else', 307, { location: 'http://127.0.0.1:1/' }],
  ])('of one that %s is no answer', async (_how, status, headers) => {
    await using replicas = new Replicas({ seal });
    await using server = await httpServer((_request, response) => response.writeHead(status, headers).end('conte'));
    const read = sourceAt(replicas, server.host).getBlobFrom(
      APP,
      digest,
      { start: 2, end: Infinity },
      { signal: forever },
    );
    expect((await failureOf(read)).code).toBe('UNAVAILABLE');
    expect(server.requests.map(({ range }) => range)).toEqual(['bytes=2-']);
  });

  test.each(['', 'a b', 'x:y:z', 'http://a/', '127.0.0.1:1'])('at %j is no answer', async (address) => {
    await using replicas = new Replicas({ seal });
    const read = sourceAt(replicas, address).getBlob(APP, digest, undefined, { signal: forever });
    expect((await failureOf(read)).code).toBe('UNAVAILABLE');
  });

  test('goes on while its origin sends nothing to the holder, which says that it is there', async () => {
    await using replicas = new Replicas({ seal });
    const rest = Promise.withResolvers<undefined>();
    let asked = 0;
    await using server = await httpServer((request, response) => {
      if (request.url?.startsWith('/circ/v1/begun/') === true) {
        asked += 1;
        if (asked === 2) rest.resolve(undefined);
        response.writeHead(204).end();
        return;
      }
      response.writeHead(206, { 'content-range': 'bytes 0-6/7', 'content-length': '7' }).write('con');
      void rest.promise.then(() => response.end('tent'));
    });
    const body = await sourceAt(replicas, server.host).getBlob(APP, digest, undefined, { signal: forever });
    const pieces = [];
    for await (const piece of body.pieces) pieces.push(piece);
    expect(Buffer.concat(pieces).toString()).toBe('content');
    expect(asked).toBe(2);
  });

  test.each([
    ['before it has answered', () => undefined],
    [
      'in the middle',
      (response: ServerResponse) => {
        response.writeHead(206, { 'content-range': 'bytes 0-6/7', 'content-length': '7' }).write('con');
      },
    ],
  ])('of a holder that says nothing any more %s ends within two seconds', async (_when, answer) => {
    await using replicas = new Replicas({ seal });
    await using server = await httpServer(({ url }, response) => {
      if (url?.startsWith('/circ/v1/read/') === true) answer(response);
    });
    const startedAtMs = performance.now();
    const reading = (async () => {
      const source = sourceAt(replicas, server.host);
      const body = await source.getBlob(APP, digest, undefined, { signal: forever });
      for await (const piece of body.pieces) expect(piece).toHaveLength(3);
    })();
    expect((await failureOf(reading)).code).toBe('UNAVAILABLE');
    // Two seconds, and one for the machine. By its other bounds it would have been ten or fifteen.
    expect(performance.now() - startedAtMs).toBeLessThan(3_000);
    expect(server.requests.map(({ url }) => url.split('/').at(3))).toContain('begun');
  });

  test('of a holder that is there and sends nothing for long ends', async () => {
    await using replicas = new Replicas({ seal, silenceMs: 200 });
    await using server = await httpServer(({ url }, response) => {
      if (url?.startsWith('/circ/v1/begun/') === true) response.writeHead(204).end();
      else response.writeHead(206, { 'content-range': 'bytes 0-6/7', 'content-length': '7' }).write('con');
    });
    const body = await sourceAt(replicas, server.host).getBlob(APP, digest, undefined, { signal: forever });
    const reading = (async () => {
      for await (const piece of body.pieces) expect(piece).toHaveLength(3);
    })();
    expect((await failureOf(reading)).code).toBe('UNAVAILABLE');
  });
});
