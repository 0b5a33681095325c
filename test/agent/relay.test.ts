import type { Socket } from 'node:net';
import { describe, expect, test } from 'vitest';
import { Grants } from '../../agent/grants.ts';
import { Relay, type RelayedBlob } from '../../agent/relay.ts';
import { TierClient } from '../../agent/tier-client.ts';
import { BufferPool } from '../../content/buffer-pool.ts';
import { digestOf } from '../../oci/digest.ts';
import { OciError } from '../../oci/error.ts';
import { generatedBlob, readBytes } from '../support/blobs.ts';
import { type Script, headOf, rangeIn, scripted } from '../support/house-tcp.ts';
import { scriptedTier } from '../support/house-tier.ts';
import { CALLER } from './fixtures.ts';

const BYTES = readBytes(generatedBlob(100_000));
const DIGEST = digestOf(BYTES);
const ALL = { start: 0, end: BYTES.length };

/** A relay before a tier whose signed reads are answered by the script. */
async function relaying(script: Script) {
  await using parts = new AsyncDisposableStack();
  const reads = parts.use(await scripted(script));
  const tier = parts.use(
    await scriptedTier({ openBlob: () => ({ size: BYTES.length, readUrl: reads.url.href, fromOrigin: true }) }),
  );
  const client = parts.use(new TierClient(tier.address));
  const reader = { caller: CALLER, grants: new Grants().of(CALLER) };
  const relay = new Relay({ tier: client, pool: new BufferPool() });
  const all = parts.move();
  return {
    relay,
    client,
    grants: reader.grants,
    tier,
    reads,
    locate: async (): Promise<RelayedBlob> => ({
      ...reader,
      digest: DIGEST,
      located: await relay.locate(reader, DIGEST, { statOnly: false }),
    }),
    [Symbol.asyncDispose]: () => all[Symbol.asyncDispose](),
  };
}

/** Sends at most `most` bytes of what was asked for, then breaks off. */
function sending(most: number, socket: Socket, request: string): void {
  const { first, last } = rangeIn(request);
  socket.write(headOf(last + 1 - first));
  socket.end(BYTES.subarray(first, Math.min(last + 1, first + most)));
}

async function collect(relay: Relay, blob: RelayedBlob, range = ALL, signal = new AbortController().signal) {
  const pieces: Buffer[] = [];
  let error: OciError | undefined;
  try {
    for await (const chunk of await relay.open(blob, range, signal)) {
      pieces.push(Buffer.from(chunk.bytes));
      chunk.release();
    }
  } catch (reason) {
    error = OciError.from(reason);
  }
  return { bytes: Buffer.concat(pieces), error };
}

describe('Relay', () => {
  test('passes the range on', async () => {
    await using it = await relaying((socket, request) => sending(Infinity, socket, request));
    const { bytes, error } = await collect(it.relay, await it.locate(), { start: 5, end: 70_001 });
    expect(error).toBeUndefined();
    expect(bytes.equals(BYTES.subarray(5, 70_001))).toBe(true);
  });

  test('goes on at the very byte where a read broke, through a question to the tier each time', async () => {
    await using it = await relaying((socket, request) => sending(30_000, socket, request));
    const { bytes, error } = await collect(it.relay, await it.locate());
    expect(error).toBeUndefined();
    expect(bytes.equals(BYTES)).toBe(true);
    expect(it.reads.requests.map((request) => rangeIn(request).first)).toEqual([0, 30_000, 60_000, 90_000]);
    expect(it.tier.blobQuestions).toHaveLength(4);
  });

  test('goes on after a read that has ended in the meantime (404)', async () => {
    await using it = await relaying((socket, request) => {
      if (it.reads.requests.length === 2) socket.end(headOf(0, '404 Not Found'));
      else sending(60_000, socket, request);
    });
    const { bytes, error } = await collect(it.relay, await it.locate());
    expect(error).toBeUndefined();
    expect(bytes.equals(BYTES)).toBe(true);
  });

  test('gives up after three breaks in a row without a byte between them', async () => {
    await using it = await relaying((socket, request) => {
      if (it.reads.requests.length === 1) sending(10_000, socket, request);
      else socket.resetAndDestroy();
    });
    const { bytes, error } = await collect(it.relay, await it.locate());
    expect(error?.code).toBe('UNAVAILABLE');
    expect(bytes.equals(BYTES.subarray(0, 10_000))).toBe(true);
    expect(it.reads.requests).toHaveLength(3);
  });

  test('rejects when the very first read is refused, so that the caller can still say 503', async () => {
    await using it = await relaying((socket) => void socket.end(headOf(0, '503 Service Unavailable')));
    await expect(it.relay.open(await it.locate(), ALL, new AbortController().signal)).rejects.toMatchObject({
      code: 'UNAVAILABLE',
    });
  });

  test('asks the tier anew when the very first read fails, before any byte is promised', async () => {
    await using it = await relaying((socket, request) => {
      if (it.reads.requests.length === 1) socket.destroy();
      else sending(Infinity, socket, request);
    });
    const { bytes, error } = await collect(it.relay, await it.locate());
    expect(error).toBeUndefined();
    expect(bytes.equals(BYTES)).toBe(true);
    expect(it.tier.blobQuestions).toHaveLength(2);
  });

  test('reads from the peer that serves the URL', async () => {
    await using it = await relaying((socket, request) => sending(Infinity, socket, request));
    let heard = 0;
    const peerOf = (url: URL) => {
      expect(url.href).toBe(it.reads.url.href);
      const reading = { heard: () => (heard += 1), unreachable: () => undefined, [Symbol.dispose]: () => undefined };
      return { reading: () => reading };
    };
    const relay = new Relay({ tier: it.client, peerOf, pool: new BufferPool() });
    expect((await collect(relay, await it.locate())).error).toBeUndefined();
    expect(heard).toBeGreaterThan(0);
  });

  test('rejects when the tier gave no URL', async () => {
    await using it = await relaying(() => undefined);
    const blob = await it.locate();
    const nowhere = { ...blob, located: { ...blob.located, readUrl: undefined } };
    await expect(it.relay.open(nowhere, ALL, new AbortController().signal)).rejects.toMatchObject({
      code: 'UNAVAILABLE',
    });
  });

  test('ends as corrupt when the tier tells another size half-way', async () => {
    await using it = await relaying((socket, request) => sending(10_000, socket, request));
    const blob = await it.locate();
    it.tier.answers.openBlob = () => ({ size: BYTES.length + 1, readUrl: it.reads.url.href });
    expect((await collect(it.relay, blob)).error?.code).toBe('CORRUPT');
  });

  test.each([['BLOB_UNKNOWN'], ['UNAVAILABLE']] as const)(
    'ends in time when the tier says %s half-way',
    async (code) => {
      await using it = await relaying((socket, request) => sending(10_000, socket, request));
      const blob = await it.locate();
      it.tier.answers.openBlob = () => {
        throw new OciError(code, 'not any more');
      };
      expect((await collect(it.relay, blob)).error?.code).toBe(code);
      expect(it.tier.blobQuestions.length).toBeLessThanOrEqual(4);
    },
  );

  test('does not resume what its signal ended', async () => {
    await using it = await relaying((socket, request) => {
      socket.write(headOf(rangeIn(request).last + 1));
      socket.write(BYTES.subarray(0, 1000));
    });
    const gone = new AbortController();
    const blob = await it.locate();
    for await (const chunk of await it.relay.open(blob, ALL, gone.signal)) {
      chunk.release();
      break;
    }
    const reading = collect(it.relay, blob, ALL, gone.signal);
    await expect.poll(() => it.reads.requests.length).toBe(2);
    gone.abort(new OciError('UNAVAILABLE', 'the client hung up'));
    expect((await reading).error?.message).toBe('the client hung up');
    expect(it.reads.requests).toHaveLength(2);
    expect(it.tier.blobQuestions).toHaveLength(1);
    await expect.poll(() => it.reads.connections).toBe(0);
  });

  test('reads nothing for no bytes', async () => {
    await using it = await relaying(() => undefined);
    const { bytes, error } = await collect(it.relay, await it.locate(), { start: 0, end: 0 });
    expect([bytes.length, error, it.reads.requests.length]).toEqual([0, undefined, 0]);
  });

  test('learns with the place what may be read, and presents its grant the next time', async () => {
    await using it = await relaying(() => undefined);
    it.tier.answers.openBlob = () => ({
      size: 7,
      readUrl: it.reads.url.href,
      grant: { token: Buffer.from('sealed'), validForMs: 60_000 },
    });
    await it.locate();
    expect(it.grants.readable(DIGEST)).toMatchObject({ sizeBytes: 7 });
    await it.locate();
    expect(it.tier.blobQuestions.map(({ grant }) => grant.toString())).toEqual(['', 'sealed']);
  });
});
