import { setTimeout as delay } from 'node:timers/promises';
import { describe, expect, test } from 'vitest';
import { parseDigest } from '../../../oci/digest.ts';
import { Pace } from '../../../shared-tier/origin/pace.ts';
import { bytesBlob, generatedBlob, readBytes } from '../../support/blobs.ts';
import { startBlobStore } from '../../support/origin-blob-store.ts';
import type { Moods } from '../../support/origin-moods.ts';
import { startOrigin } from '../../support/origin.ts';
import { APP, MIB, failureOf, httpServer } from '../fixtures.ts';
import { downloads, isWhole, originWith, small } from './downloads.ts';

describe('a small blob', () => {
  test('is one GET', async () => {
    await using t = await originWith(small);
    expect(await isWhole(await t.it.run(t.digest), t.digest)).toBe(true);
    expect([t.origin.requests.length, t.origin.bodyBytes(t.digest)]).toEqual([1, small.sizeBytes]);
    expect(t.it.receivedBytes).toBe(small.sizeBytes);
  });

  test('may be empty', async () => {
    await using t = await originWith(bytesBlob(Buffer.alloc(0)));
    expect((await t.it.run(t.digest)).length).toBe(0);
  });

  test('of one byte is read', async () => {
    await using t = await originWith(bytesBlob(Buffer.from('x')));
    expect((await t.it.run(t.digest)).toString()).toBe('x');
  });

  test('is one GET as well when only a manifest has told its size', async () => {
    await using t = await originWith(small, { noLength: true, ranges: false });
    expect(await isWhole(await t.it.run(t.digest, { sizeIfUntold: async () => small.sizeBytes }), t.digest)).toBe(true);
    expect([t.origin.requests.length, t.origin.bodyBytes(t.digest)]).toEqual([1, small.sizeBytes]);
  });

  test('that is broken off where only a manifest has told its size begins again', async () => {
    await using t = await originWith(small, { noLength: true, ranges: false });
    t.origin.once({ resetAt: MIB + 1 });
    expect(await isWhole(await t.it.run(t.digest, { sizeIfUntold: async () => small.sizeBytes }), t.digest)).toBe(true);
    expect(t.origin.requests).toHaveLength(2);
  });

  test.each([small.sizeBytes - 1, small.sizeBytes + 1])(
    'is not taken for whole when a manifest says %i',
    async (size) => {
      await using t = await originWith(small, { noLength: true, ranges: false });
      const error = await failureOf(t.it.run(t.digest, { sizeIfUntold: async () => size }));
      expect(['CORRUPT', 'UNAVAILABLE']).toContain(error.code);
    },
  );

  test.each<[string, Moods]>([
    ['truncated', { truncateAt: MIB + 1 }],
    ['reset', { resetAt: MIB + 1 }],
    ['stalled', { stallAt: MIB + 1 }],
  ])('that is %s is resumed at the byte', async (_name, mood) => {
    await using t = await originWith(small, {}, { silenceMs: 300 });
    t.origin.once(mood);

    expect(await isWhole(await t.it.run(t.digest), t.digest)).toBe(true);

    const [, second] = t.origin.requests;
    expect(t.origin.requests).toHaveLength(2);
    // What the kernel still held of a connection that was reset is lost, so the byte is not known beforehand.
    expect(second?.range).toMatch(/^bytes=\d+-/);
    expect(t.it.receivedBytes).toBe(small.sizeBytes);
  });

  test('that is truncated at every megabyte arrives', async () => {
    await using t = await originWith(small);
    t.origin.mood = { truncateAt: 700_000 };
    expect(await isWhole(await t.it.run(t.digest), t.digest)).toBe(true);
    expect(t.it.receivedBytes).toBe(small.sizeBytes);
  });

  test('that is broken off at the same place again and again is given up', async () => {
    await using t = await originWith(small);
    t.origin.once({ truncateAt: 1000 });
    t.origin.mood = { truncateAt: 0 };
    const error = await failureOf(t.it.run(t.digest));
    expect(error.code).toBe('UNAVAILABLE');
    expect(t.origin.requests.length).toBeLessThan(7);
  });

  test('of an origin without ranges is resumed by skipping', async () => {
    await using t = await originWith(small, { ranges: false });
    t.origin.once({ truncateAt: MIB + 1 });
    expect(await isWhole(await t.it.run(t.digest), t.digest)).toBe(true);
    expect(t.origin.requests.map(({ status }) => status)).toEqual([200, 200]);
  });

  test('that disappears in the middle is given up', async () => {
    await using t = await originWith(small);
    t.origin.once({ truncateAt: 1000 });
    const running = failureOf(t.it.run(t.digest));
    await t.origin.arrived({ status: 206 });
    t.origin.remove(APP, t.digest);
    expect((await running).code).toBe('BLOB_UNKNOWN');
  });

  test.each<Moods>([{ lie: true }, { lie: 0 }, { lie: small.sizeBytes - 1 }, { longer: 5 }, { shorter: 5 }])(
    'that lies is never kept: %j',
    async (mood) => {
      await using t = await originWith(small, mood);
      const error = await failureOf(t.it.run(t.digest));
      expect([error.code, await t.it.store.stat(t.digest)]).toEqual(['CORRUPT', undefined]);
    },
  );

  test('whose size changes in the middle is given up', async () => {
    await using t = await originWith(small);
    t.origin.mood = { longer: 10 };
    t.origin.once({ truncateAt: 1000, longer: 0 });
    const error = await failureOf(t.it.run(t.digest));
    expect(error.code).toBe('UNAVAILABLE');
  });

  test('with more bytes than announced is right, and the connection is not used again', async () => {
    await using t = await originWith(small, { overrun: 100 });
    expect(await isWhole(await t.it.run(t.digest), t.digest)).toBe(true);
  });

  test('is slowed down by a pace', async () => {
    await using t = await originWith(small);
    const startedAt = performance.now();
    await t.it.run(t.digest, { pace: new Pace(6 * MIB) });
    expect(performance.now() - startedAt).toBeGreaterThan(450);
  });

  test('is fetched through a redirect, each time anew', async () => {
    await using origin = await startOrigin();
    const { digest } = await origin.addBlob(APP, small);
    await using store = await startBlobStore(origin, { signed: true });
    origin.mood = { redirectTo: store };
    store.once({ truncateAt: 100_000 }, { kind: 'blob' });
    await using it = await downloads(origin, { entry: { redirectHosts: [store.host] } });

    expect(await isWhole(await it.run(digest), digest)).toBe(true);
    expect([origin.requests.length, store.requests.length]).toEqual([2, 2]);
  });
});

describe('an answer of ranges that no registry gives', () => {
  const bytes = readBytes(generatedBlob(1_000_000, 3));
  const digest = parseDigest(`sha256:${'0'.repeat(64)}`);

  test('with none of the bytes that it announced is not asked for without end', async () => {
    await using server = await httpServer((_request, response) => {
      response.writeHead(206, { 'content-range': 'bytes 0-99/100', 'content-length': 0 }).end();
    });
    await using it = await downloads(server);
    const error = await failureOf(it.run(digest));
    expect(error.code).toBe('UNAVAILABLE');
    expect(server.requests.length).toBeLessThan(7);
  });

  test('with fewer bytes than asked for is followed by the next one', async () => {
    await using server = await httpServer((request, response) => {
      const start = Number(/\d+/.exec(request.headers.range ?? '')?.[0]);
      const part = bytes.subarray(start, start + 300_000);
      response.writeHead(206, {
        'content-range': `bytes ${start}-${start + part.length - 1}/${bytes.length}`,
        'content-length': part.length,
      });
      response.end(part);
    });
    await using it = await downloads(server);
    const right = await bytesBlob(bytes).digest();
    expect(await it.run(right)).toEqual(bytes);
    expect(server.requests).toHaveLength(4);
  });

  test('in chunks arrives whole, though one read holds nearly all of one and a bit of the next', async () => {
    const blob = readBytes(generatedBlob(1_920_000, 4));
    const chunk = (start: number, end: number): Buffer[] => {
      const bytesOfChunk = blob.subarray(start, end);
      return [Buffer.from(`${bytesOfChunk.length.toString(16)}\r\n`), bytesOfChunk, Buffer.from('\r\n')];
    };
    await using server = await httpServer((_request, { socket }) => {
      socket?.write(
        `HTTP/1.1 206 Partial Content\r\ncontent-range: bytes 0-${blob.length - 1}/${blob.length}\r\n` +
          'transfer-encoding: chunked\r\n\r\n',
      );
      void (async () => {
        for (let at = 0; at < blob.length; at += 64_000) {
          const pair = [...chunk(at, at + 62_000), ...chunk(at + 62_000, at + 64_000)];
          socket?.write(Buffer.concat(pair.filter(({ length }) => length > 0)));
          await delay(3); // nothing is waited for: it makes the next two another read
        }
        socket?.end('0\r\n\r\n');
      })();
    });
    await using it = await downloads(server);
    const right = await bytesBlob(blob).digest();
    expect((await it.run(right)).equals(blob)).toBe(true);
    expect(server.requests).toHaveLength(1);
  });
});
