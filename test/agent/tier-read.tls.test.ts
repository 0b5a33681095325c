import { setTimeout as sleep } from 'node:timers/promises';
import { describe, expect, test } from 'vitest';
import { connectSecure } from '../../agent/tier-connect.ts';
import { openTierRead } from '../../agent/tier-read.ts';
import { TestCa } from '../support/certificates.ts';
import { headOf, scripted } from '../support/house-tcp.ts';
import { testMaterial } from '../support/material.ts';
import { BUFFERS, LARGE, codeOf, collect, drain, goodLarge, pool, tierThat } from './fixtures.ts';

const ca = new TestCa();

describe('openTierRead over TLS', () => {
  test.each([5_000, 64 * 1024, 256 * 1024])('reads every byte into buffers of %i bytes', async (bufferBytes) => {
    await using it = await tierThat(goodLarge, { ca, bufferBytes });
    const range = { start: 1_234, end: 2_900_001 };
    expect((await collect(await it.open({ range }))).equals(LARGE.bytes.subarray(range.start, range.end))).toBe(true);
    expect(drain(it.pool)).toHaveLength(BUFFERS);
    await expect.poll(() => it.server.connections).toBe(0);
  });

  test('hands over chunks that are larger than the records of TLS', async () => {
    await using it = await tierThat(goodLarge, { ca, bufferBytes: 256 * 1024 });
    const sizes: number[] = [];
    for await (const { bytes, release } of await it.open({ range: LARGE })) {
      sizes.push(bytes.length);
      release();
    }
    expect(Math.max(...sizes)).toBeGreaterThan(32 * 1024);
  });

  test('hands over what has come without waiting for more', async () => {
    const more = Promise.withResolvers<void>();
    await using it = await tierThat(
      async (socket) => {
        socket.write(`${headOf(10)}hello`);
        await more.promise;
        socket.end('world');
      },
      { ca },
    );
    const iterator = (await it.open({ range: { start: 0, end: 10 } }))[Symbol.asyncIterator]();
    const first = await iterator.next();
    expect(first.done === true ? '' : Buffer.from(first.value.bytes).toString()).toBe('hello');
    more.resolve();
    const second = await iterator.next();
    expect(second.done === true ? '' : Buffer.from(second.value.bytes).toString()).toBe('world');
    await iterator.return?.();
  });

  test('gives every byte that came before an early end', async () => {
    await using it = await tierThat(
      (socket) => {
        socket.write(headOf(LARGE.end));
        socket.end(LARGE.bytes.subarray(0, 500_000));
      },
      { ca, bufferBytes: 64 * 1024 },
    );
    let bytes = 0;
    const reading = (async () => {
      for await (const chunk of await it.open({ range: LARGE })) {
        await sleep(5);
        bytes += chunk.bytes.length;
        chunk.release();
      }
    })();
    expect(await codeOf(reading)).toBe('UNAVAILABLE');
    expect(bytes).toBe(500_000);
    expect(drain(it.pool)).toHaveLength(BUFFERS);
  });

  test('gives up a server that does not shake hands', async () => {
    await using silent = await scripted(() => undefined);
    await using tls = await testMaterial({ ca: ca.pem });
    const url = new URL(silent.url.href.replace('http:', 'https:'));
    const { material } = tls;
    const connect = connectSecure({ material, serviceName: 'tier.test' });
    const options = { pool: pool(), signal: new AbortController().signal, connect, headMs: 50 };
    expect(await codeOf(openTierRead(url, { start: 0, end: 5 }, options))).toBe('UNAVAILABLE');
  });
});
