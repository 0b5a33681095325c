import { describe, expect, test } from 'vitest';
import type { ReadPeer } from '../../service/range-read.ts';
import { openTierRead } from '../../agent/tier-read.ts';
import { OciError } from '../../oci/error.ts';
import { headOf, scripted } from '../support/house-tcp.ts';
import { blackHole } from '../support/house-wire.ts';
import { BYTES, codeOf, collect, good, open, pool } from './fixtures.ts';

/** Notes what a read tells its peer. */
function peer() {
  const said = { heard: 0, unreachable: 0, over: 0 };
  const reads: ((reason: OciError) => void)[] = [];
  const it: ReadPeer = {
    reading: (failed) => {
      reads.push(failed);
      return {
        heard: () => (said.heard += 1),
        unreachable: () => (said.unreachable += 1),
        [Symbol.dispose]: () => (said.over += 1),
      };
    },
  };
  return {
    peer: it,
    said,
    fail: () => reads.forEach((failed) => failed(new OciError('UNAVAILABLE', 'taken for dead'))),
  };
}

const RANGE = { start: 0, end: BYTES.length };

describe('openTierRead', () => {
  test('tells the peer what comes, and when it is over', async () => {
    await using server = await scripted(good);
    const { peer: from, said } = peer();
    const got = await collect(await open(server, { peer: from }));
    expect(got.equals(BYTES)).toBe(true);
    expect(said).toMatchObject({ unreachable: 0 });
    expect(said.heard).toBeGreaterThan(0);
    expect(said.over).toBeGreaterThan(0);
  });

  test('ends in the middle when the peer is taken for dead', async () => {
    await using server = await scripted((socket) => {
      socket.write(headOf(BYTES.length));
      socket.write(BYTES.subarray(0, 1_000));
    });
    const { peer: from, said, fail } = peer();
    const chunks = await open(server, { peer: from });
    const reading = collect(chunks);
    await expect.poll(() => said.heard).toBeGreaterThan(0);
    fail();
    await expect(reading).rejects.toMatchObject({ code: 'UNAVAILABLE', message: 'taken for dead' });
    expect(said.unreachable).toBe(0);
    await expect.poll(() => server.connections).toBe(0);
  });

  test('tells a peer that refuses connections that it cannot be reached, once', async () => {
    const server = await scripted(good);
    const { url } = server;
    await server[Symbol.asyncDispose]();
    const { peer: from, said } = peer();
    const reading = openTierRead(url, RANGE, { pool: pool(), signal: new AbortController().signal, peer: from });
    expect(await codeOf(reading)).toBe('UNAVAILABLE');
    expect(said).toMatchObject({ heard: 0, unreachable: 1 });
  });

  test('tells a peer that does not take connections so in time, without the patience for an answer', async () => {
    await using nowhere = await blackHole();
    const url = new URL(`http://${nowhere.address.host}:${nowhere.address.port}/x`);
    const { peer: from, said } = peer();
    const startedAt = performance.now();
    const reading = openTierRead(url, RANGE, { pool: pool(), signal: new AbortController().signal, peer: from });
    expect(await codeOf(reading)).toBe('UNAVAILABLE');
    expect(performance.now() - startedAt).toBeLessThan(3_000);
    expect(said).toMatchObject({ heard: 0, unreachable: 1 });
  });

  test('tells the peer nothing bad when the client hangs up, or the body breaks off', async () => {
    await using server = await scripted((socket) => {
      socket.write(headOf(BYTES.length));
      socket.end(BYTES.subarray(0, 1_000));
    });
    const broken = peer();
    expect(await codeOf(open(server, { peer: broken.peer }).then(collect))).toBe('UNAVAILABLE');
    const left = peer();
    const gone = AbortSignal.abort(new OciError('UNAVAILABLE', 'the client hung up'));
    expect(await codeOf(open(server, { peer: left.peer, signal: gone }))).toBe('UNAVAILABLE');
    expect([broken.said.unreachable, left.said.unreachable]).toEqual([0, 0]);
  });
});
