import { createHash } from 'node:crypto';
import { Readable } from 'node:stream';
import { setImmediate as nextTurn } from 'node:timers/promises';
import { describe, expect, test } from 'vitest';
import { hexOf } from '../../../oci/digest.ts';
import { ClientBody, type Keeper } from '../../../shared-tier/push/client-body.ts';
import { MIB } from '../../content/fixtures.ts';
import { generatedBlob } from '../../support/blobs.ts';
import { failureOf, forever } from '../fixtures.ts';
import { requested } from './requested.ts';

const NOTHING: Keeper = { keep: async () => undefined, ended: () => undefined, kept: () => undefined };

async function gathered(pieces: AsyncIterable<Uint8Array>): Promise<string> {
  const all: Uint8Array[] = [];
  for await (const piece of pieces) all.push(piece);
  return Buffer.concat(all).toString();
}

describe('the body of a client', () => {
  test('is read to its end, and has its place in the blob', async () => {
    await using it = await requested();
    const body = new ClientBody(it.raw, 100, NOTHING, forever);
    it.client.end('twelve bytes');
    expect(await gathered(body.bytes(100))).toBe('twelve bytes');
    expect([body.position, body.isEnded, body.failure]).toEqual([112, true, undefined]);
  });

  test('stays with its client until somebody asks for it: it may wait for long for its turn', async () => {
    await using it = await requested();
    const body = new ClientBody(it.raw, 0, NOTHING, forever);
    it.client.end('bytes');
    expect([it.raw.readableFlowing, it.raw.listenerCount('data')]).toEqual([null, 0]);
    expect(await gathered(body.bytes(0))).toBe('bytes');
  });

  test('that comes too slowly fails, however often a byte comes', async () => {
    await using it = await requested();
    const body = new ClientBody(it.raw, 0, NOTHING, forever, 200);
    const dripping = setInterval(() => it.client.write('x'), 20);
    const failure = await failureOf(gathered(body.bytes(0)));
    clearInterval(dripping);
    expect([failure.code, failure.message]).toEqual(['UNAVAILABLE', 'the body comes too slowly']);
    expect(body.failure).toBe(failure);
  });

  test('may come as slowly as the pace says while it gathers, too', async () => {
    await using it = await requested();
    const body = new ClientBody(it.raw, 0, NOTHING, forever, 700);
    it.client.write('x');
    await body.bytes(0).next();
    const paced = setInterval(() => it.client.write(Buffer.alloc(128 * 1024)), 400);
    await body.gathered();
    clearInterval(paced);
    expect(body.failure).toBe(undefined);
  });

  test('fails when the client hangs up in the middle', async () => {
    await using it = await requested();
    const body = new ClientBody(it.raw, 0, NOTHING, forever);
    it.client.write('beginning');
    const pieces = body.bytes(0);
    expect(Buffer.from((await pieces.next()).value ?? []).toString()).toBe('beginning');
    it.client.destroy();
    expect((await failureOf(pieces.next())).code).toBe('UNAVAILABLE');
  });

  test('is waited for no longer than somebody wants it', async () => {
    await using it = await requested();
    const ended = new AbortController();
    const body = new ClientBody(it.raw, 0, NOTHING, ended.signal);
    const next = body.bytes(0).next();
    ended.abort(new Error('nobody wants it'));
    expect((await failureOf(next)).cause).toBe(ended.signal.reason);
  });

  test('is waited for no longer than somebody holds it', async () => {
    await using it = await requested();
    const body = new ClientBody(it.raw, 0, NOTHING, forever);
    const next = body.bytes(0).next();
    await body.close();
    expect((await failureOf(next)).code).toBe('UNAVAILABLE');
  });

  test('is the same for a try that failed and the one that follows it', async () => {
    await using it = await requested();
    const body = new ClientBody(it.raw, 0, NOTHING, forever);
    const failed = body.bytes(0).next();
    const next = body.bytes(0).next();
    it.client.write('piece');
    expect(Buffer.from((await next).value ?? []).toString()).toBe('piece');
    expect(Buffer.from((await failed).value ?? []).toString()).toBe('piece');
    expect(body.position).toBe(5);
    expect([body.canRepeat(0), body.canRepeat(3), body.canRepeat(5), body.canRepeat(6)]).toEqual([
      true,
      true,
      true,
      false,
    ]);
  });

  test('can be repeated from anywhere in what is not written down yet, and from its last piece', async () => {
    await using it = await requested();
    const kept: (() => void)[] = [];
    const keep = (): Promise<void> => new Promise<void>((resolve) => void kept.push(resolve));
    const body = new ClientBody(it.raw, 0, { ...NOTHING, keep }, forever);
    const pieces = body.bytes(0);
    for (const piece of ['one', 'two', 'three']) {
      it.client.write(piece);
      expect(Buffer.from((await pieces.next()).value ?? []).toString()).toBe(piece);
    }
    expect(Buffer.from((await body.bytes(1).next()).value ?? []).toString()).toBe('netwothree');
    expect([body.canRepeat(1), body.canRepeat(4), body.canRepeat(7)]).toEqual([true, true, true]);
    it.client.end();
    expect(await pieces.next()).toMatchObject({ done: true });
    expect([kept.length, body.canRepeat(1)]).toEqual([1, true]);
    kept.shift()?.();
    await expect.poll(() => body.canRepeat(4)).toBe(false);
    expect([body.canRepeat(6), body.canRepeat(7)]).toEqual([true, true]);
  });

  test('is read no further than a little ahead of who wants it, and of what is written down', async () => {
    await using it = await requested();
    const written = Promise.withResolvers<void>();
    const body = new ClientBody(it.raw, 0, { ...NOTHING, keep: () => written.promise }, forever);
    it.client.end(Buffer.alloc(16 * MIB));
    const pieces = body.bytes(0);
    while (body.position < MIB) await pieces.next();
    const next = pieces.next();
    await expect.poll(() => it.raw.isPaused()).toBe(true); // so much has come that it could go on
    expect(body.position).toBeLessThan(MIB + 256 * 1024);
    written.resolve();
    expect((await next).value?.length).toBeGreaterThan(0);
  });

  test('is in memory that is used again once it is sent and written down, and not before', async () => {
    await using it = await requested();
    const blob = generatedBlob(32 * MIB);
    const hashes = { sent: createHash('sha256'), kept: createHash('sha256') };
    const keep = async (pieces: readonly Uint8Array[]): Promise<void> => {
      await nextTurn(); // as if it were a disk
      for (const piece of pieces) hashes.kept.update(piece);
    };
    const body = new ClientBody(it.raw, 0, { ...NOTHING, keep }, forever);
    Readable.from(blob.pieces(0, blob.sizeBytes), { objectMode: false }).pipe(it.client);
    const memory = new Set<ArrayBufferLike>();
    let unsent: Uint8Array | undefined;
    for await (const piece of body.bytes(0)) {
      if (unsent) hashes.sent.update(unsent); // as late as a socket may do it
      unsent = piece.length < 64 * 1024 ? undefined : piece;
      if (unsent) memory.add(piece.buffer);
      else hashes.sent.update(piece);
      await nextTurn();
    }
    await body.close();
    if (unsent) hashes.sent.update(unsent);
    const hex = hexOf(await blob.digest());
    expect([hashes.sent.digest('hex'), hashes.kept.digest('hex')]).toEqual([hex, hex]);
    expect(memory.size).toBeLessThan(2 * 4);
  });
});
