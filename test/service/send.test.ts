import { once } from 'node:events';
import { type Server, type ServerResponse, createServer } from 'node:http';
import { type AddressInfo, connect } from 'node:net';
import { describe, expect, test } from 'vitest';
import type { Chunk, Chunks } from '../../content/chunk.ts';
import { OciError } from '../../oci/error.ts';
import { sendChunks } from '../../service/send.ts';
import { readSocket } from '../support/origin-client.ts';

const LENGTH = 100_000;

/** Chunks that know whether they were given back. */
class Counted {
  out = 0;
  /** Most that were out at once. */
  most = 0;
  ended = false;

  chunk(bytes: Uint8Array): Chunk {
    this.out += 1;
    this.most = Math.max(this.most, this.out);
    let isOut = true;
    const release = (): void => {
      if (!isOut) throw new Error('given back twice');
      isOut = false;
      this.out -= 1;
    };
    return { bytes, release };
  }

  async *of(pieces: Iterable<Uint8Array>, failure?: Error): Chunks & AsyncGenerator<Chunk> {
    try {
      for (const piece of pieces) yield this.chunk(piece);
      if (failure) throw failure;
    } finally {
      this.ended = true;
    }
  }
}

async function serving(chunks: (counted: Counted) => Chunks) {
  const counted = new Counted();
  const outcomes: unknown[] = [];
  let bytes = 0;
  const handle = async (response: ServerResponse): Promise<void> => {
    response.writeHead(200, { 'content-length': LENGTH, connection: 'close' });
    try {
      await sendChunks(response, chunks(counted), (sent) => (bytes += sent));
      outcomes.push('sent');
    } catch (error) {
      outcomes.push(error);
    }
  };
  const server: Server = createServer((_request, response) => void handle(response));
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  return {
    counted,
    outcomes,
    port,
    url: `http://127.0.0.1:${port}/`,
    bytes: () => bytes,
    async [Symbol.asyncDispose]() {
      server.closeAllConnections();
      server.close();
      await once(server, 'close');
    },
  };
}

const half = [Buffer.alloc(LENGTH / 2, 'a')];

function* endless(): Iterable<Buffer> {
  for (;;) yield Buffer.alloc(256 * 1024);
}

describe('sendChunks', () => {
  test('sends everything, ends the answer, and gives every chunk back', async () => {
    await using it = await serving((counted) => counted.of([...half, ...half]));
    const received = await readSocket(it.url);
    expect(received.error).toBeUndefined();
    expect(received.text.endsWith('a'.repeat(LENGTH))).toBe(true);
    expect([it.counted.out, it.outcomes, it.bytes()]).toEqual([0, ['sent'], LENGTH]);
  });

  test('ends a body that stopped coming by FIN, so that the client resumes', async () => {
    await using it = await serving((counted) => counted.of(half, new OciError('UNAVAILABLE', 'broke off')));
    const received = await readSocket(it.url);
    expect(received.error).toBeUndefined();
    expect(received.bytes).toBeLessThan(LENGTH);
    expect(it.outcomes).toEqual([expect.objectContaining({ code: 'UNAVAILABLE' })]);
    await expect.poll(() => it.counted.out).toBe(0);
  });

  test('ends a body that is wrong by RST, so that the client does not', async () => {
    await using it = await serving((counted) => counted.of(half, new OciError('CORRUPT', 'wrong')));
    const received = await readSocket(it.url);
    expect(received.error).toBe('ECONNRESET');
    expect(it.outcomes).toEqual([expect.objectContaining({ code: 'CORRUPT' })]);
    await expect.poll(() => it.counted.out).toBe(0);
  });

  test('throws a bug as INTERNAL, and breaks the answer', async () => {
    await using it = await serving((counted) => counted.of(half, new TypeError('a bug')));
    expect((await readSocket(it.url)).bytes).toBeLessThan(LENGTH);
    expect(it.outcomes).toEqual([expect.objectContaining({ code: 'INTERNAL' })]);
  });

  test('breaks the answer also when not even the first byte came', async () => {
    await using it = await serving((counted) => counted.of([], new OciError('UNAVAILABLE', 'broke off')));
    const received = await readSocket(it.url);
    expect([received.error, received.text.includes('\r\n\r\n')]).toEqual([undefined, false]);
  });

  test('has two chunks out at most, and asks for no more while the client takes none', async () => {
    await using it = await serving((counted) => counted.of(endless()));
    const socket = connect(it.port, '127.0.0.1');
    socket.pause();
    socket.write('GET / HTTP/1.1\r\nhost: x\r\n\r\n');
    let before = -1;
    // The kernel's buffers are full when nothing has moved for a while.
    await expect
      .poll(
        () => {
          const stands = it.bytes() === before;
          before = it.bytes();
          return stands && before > 0;
        },
        { interval: 100 },
      )
      .toBe(true);
    expect(it.counted.most).toBeLessThanOrEqual(2);
    socket.destroy();
    await expect.poll(() => [it.counted.out, it.counted.ended, it.outcomes]).toEqual([0, true, ['sent']]);
  });

  test('takes a client that hangs up for no error, and ends the source', async () => {
    const more = Promise.withResolvers<void>();
    await using it = await serving(async function* (counted) {
      try {
        yield counted.chunk(Buffer.alloc(10));
        await more.promise;
        yield counted.chunk(Buffer.alloc(10));
        yield counted.chunk(Buffer.alloc(10));
      } finally {
        counted.ended = true;
      }
    });
    const socket = connect(it.port, '127.0.0.1');
    socket.write('GET / HTTP/1.1\r\nhost: x\r\n\r\n');
    await once(socket, 'data');
    socket.resetAndDestroy();
    await once(socket, 'close');
    await new Promise((resolve) => {
      setImmediate(resolve);
    });
    more.resolve();
    await expect.poll(() => [it.counted.out, it.counted.ended, it.outcomes]).toEqual([0, true, ['sent']]);
  });
});
