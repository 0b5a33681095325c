import type { Socket } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import { describe, expect, test } from 'vitest';
import { openTierRead } from '../../agent/tier-read.ts';
import type { Chunk } from '../../content/chunk.ts';
import { OciError } from '../../oci/error.ts';
import { headOf, scripted } from '../support/house-tcp.ts';
import { BUFFERS, BYTES, codeOf, collect, drain, good, open, pool } from './fixtures.ts';

describe('openTierRead', () => {
  test('reads the range that was asked for, with the tier´s own path, and ends the connection', async () => {
    await using server = await scripted(good);
    const range = { start: 1234, end: 200_001 };
    const got = await collect(await open(server, { range }));
    expect(got.equals(BYTES.subarray(1234, 200_001))).toBe(true);
    expect(server.requests[0]).toMatch(/^GET \/circ\/v1\/read\/sealed HTTP\/1\.1\r\n/);
    expect(server.requests[0]).toContain('\r\nconnection: close\r\n\r\n');
    await expect.poll(() => server.connections).toBe(0);
  });

  test('takes a busy spell of its own process for no silence of the peer', async () => {
    await using server = await scripted(good);
    const { signal } = new AbortController();
    const opening = openTierRead(
      server.url,
      { start: 0, end: 5 },
      { pool: pool(), signal, connectMs: 20, headMs: 5_000 },
    );
    for (const until = performance.now() + 100; performance.now() < until;); // what a long turn of the event loop is
    expect((await collect(await opening)).equals(BYTES.subarray(0, 5))).toBe(true);
  });

  test('understands a head that is split at any position', async () => {
    const head = headOf(5);
    for (let at = 1; at < head.length; at += 1) {
      await using server = await scripted(async (socket) => {
        socket.setNoDelay(true);
        socket.write(head.slice(0, at));
        await sleep(1);
        socket.end(`${head.slice(at)}hello`);
      });
      expect((await collect(await open(server, { range: { start: 0, end: 5 } }))).toString(), `at ${at}`).toBe('hello');
    }
  });

  test('understands a head and a body that come byte by byte', async () => {
    await using server = await scripted(async (socket) => {
      socket.setNoDelay(true);
      for (const byte of `${headOf(5)}hello`) {
        socket.write(byte);
        await new Promise(setImmediate);
      }
      socket.end();
    });
    expect((await collect(await open(server, { range: { start: 0, end: 5 } }))).toString()).toBe('hello');
  });

  test('settles when the head is there, before any byte of the body', async () => {
    const more = Promise.withResolvers<void>();
    await using server = await scripted(async (socket) => {
      socket.write(headOf(5));
      await more.promise;
      socket.end('hello');
    });
    const chunks = await open(server, { range: { start: 0, end: 5 } });
    more.resolve();
    expect((await collect(chunks)).toString()).toBe('hello');
  });

  test.each([
    ['a status that is not 206', headOf(5, '200 OK'), 'UNAVAILABLE'],
    ['404, as an ended read', headOf(0, '404 Not Found'), 'BLOB_UNKNOWN'],
    ['503', headOf(0, '503 Service Unavailable'), 'UNAVAILABLE'],
    ['another length than asked for', headOf(6), 'UNAVAILABLE'],
    ['a chunked body', 'HTTP/1.1 206 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n', 'UNAVAILABLE'],
    ['two lengths', 'HTTP/1.1 206 OK\r\ncontent-length: 5\r\ncontent-length: 5\r\n\r\nhello', 'UNAVAILABLE'],
    ['a head without end', `HTTP/1.1 206 OK\r\nx: ${'y'.repeat(100_000)}`, 'UNAVAILABLE'],
    ['something that is not HTTP', 'hello?\r\n\r\n', 'UNAVAILABLE'],
    ['FIN in the middle of the head', headOf(5).slice(0, 20), 'UNAVAILABLE'],
    ['FIN at once', '', 'UNAVAILABLE'],
  ])('rejects %s, and gives all buffers back', async (_name, answer, code) => {
    await using server = await scripted((socket) => void socket.end(answer));
    const buffers = pool();
    expect(await codeOf(open(server, { range: { start: 0, end: 5 }, pool: buffers }))).toBe(code);
    expect(drain(buffers)).toHaveLength(BUFFERS);
    await expect.poll(() => server.connections).toBe(0);
  });

  test('rejects when nobody listens', async () => {
    const server = await scripted(good);
    const { url } = server;
    await server[Symbol.asyncDispose]();
    const options = { pool: pool(), signal: new AbortController().signal };
    expect(await codeOf(openTierRead(url, { start: 0, end: 5 }, options))).toBe('UNAVAILABLE');
  });

  test('rejects a tier that accepts and says nothing, after the time for the head', async () => {
    await using server = await scripted(() => undefined);
    expect(await codeOf(open(server, { headMs: 50 }))).toBe('UNAVAILABLE');
  });

  test.each([
    ['FIN', (socket: Socket) => void socket.end()],
    ['RST', (socket: Socket) => void socket.resetAndDestroy()],
  ])('throws after the bytes that came when the body ends early by %s', async (_name, end) => {
    await using server = await scripted(async (socket) => {
      socket.write(headOf(BYTES.length));
      await new Promise<void>((resolve) => {
        socket.write(BYTES.subarray(0, 1000), () => resolve());
      });
      await sleep(20); // or an RST would take the bytes along
      end(socket);
    });
    const buffers = pool();
    const chunks = await open(server, { pool: buffers });
    let bytes = 0;
    const reading = (async () => {
      for await (const chunk of chunks) {
        bytes += chunk.bytes.length;
        chunk.release();
      }
    })();
    expect(await codeOf(reading)).toBe('UNAVAILABLE');
    expect(bytes).toBe(1000);
    expect(drain(buffers)).toHaveLength(BUFFERS);
  });

  test('never gives more bytes than were asked for', async () => {
    await using server = await scripted((socket) => void socket.end(`${headOf(5)}hello, and more`));
    const chunks = await open(server, { range: { start: 0, end: 5 } });
    const pieces: string[] = [];
    const reading = (async () => {
      for await (const chunk of chunks) pieces.push(Buffer.from(chunk.bytes).toString());
    })();
    expect(await codeOf(reading)).toBe('UNAVAILABLE');
    expect(pieces.join('').length).toBeLessThanOrEqual(5);
  });

  test('throws when the tier stops sending for the time of silence', async () => {
    await using server = await scripted((socket) => void socket.write(`${headOf(BYTES.length)}begin`));
    const buffers = pool();
    expect(await codeOf(collect(await open(server, { pool: buffers, silenceMs: 50 })))).toBe('UNAVAILABLE');
    expect(drain(buffers)).toHaveLength(BUFFERS);
  });

  test('notices silence also after a consumer that took longer than it', async () => {
    await using server = await scripted((socket) => {
      socket.write(headOf(BYTES.length));
      socket.write(BYTES.subarray(0, 100_000)); // and never more
    });
    const chunks = await open(server, { silenceMs: 40 });
    let isFirst = true;
    const reading = (async () => {
      for await (const chunk of chunks) {
        if (isFirst) await sleep(200);
        isFirst = false;
        chunk.release();
      }
    })();
    expect(await codeOf(reading)).toBe('UNAVAILABLE');
  });

  test('counts silence from where a slow consumer asked for more', async () => {
    const more = Promise.withResolvers<void>();
    await using server = await scripted(async (socket) => {
      socket.write(headOf(3 * 16 * 1024 + 5));
      socket.write(BYTES.subarray(0, 3 * 16 * 1024 - headOf(3 * 16 * 1024 + 5).length));
      await more.promise;
      await sleep(120);
      socket.end(Buffer.alloc(5 + headOf(3 * 16 * 1024 + 5).length));
    });
    const chunks = await open(server, { range: { start: 0, end: 3 * 16 * 1024 + 5 }, silenceMs: 200 });
    const held: Chunk[] = [];
    let bytes = 0;
    for await (const chunk of chunks) {
      held.push(chunk);
      bytes += chunk.bytes.length;
      if (held.length === 3) {
        await sleep(190); // just not silence yet, if it were counted from the last byte
        more.resolve();
        for (const { release } of held) release();
      }
    }
    expect(bytes).toBe(3 * 16 * 1024 + 5);
  });

  test('goes on with a small buffer of its own when the pool has nothing', async () => {
    await using server = await scripted(good);
    const buffers = pool();
    const taken = drain(buffers);
    const got = await collect(await open(server, { pool: buffers }));
    expect(got.equals(BYTES)).toBe(true);
    expect(drain(buffers)).toHaveLength(0); // it gave nothing back that it did not have
    for (const { release } of taken) release();
    expect(drain(buffers)).toHaveLength(BUFFERS);
  });

  test('does not begin when its signal has ended already', async () => {
    await using server = await scripted(good);
    const signal = AbortSignal.abort(new OciError('UNAVAILABLE', 'the client hung up'));
    await expect(open(server, { signal })).rejects.toThrow('the client hung up');
    expect(server.requests).toEqual([]);
  });

  test('frees connection and buffers when it is left in the middle, or never looked at', async () => {
    await using server = await scripted(good);
    const buffers = pool();
    for await (const chunk of await open(server, { pool: buffers })) {
      chunk.release();
      break;
    }
    const unused = await open(server, { pool: buffers });
    unused[Symbol.dispose]();
    await expect.poll(() => server.connections).toBe(0);
    expect(drain(buffers)).toHaveLength(BUFFERS);
  });
});
