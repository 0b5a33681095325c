import type { IncomingMessage, ServerResponse } from 'node:http';
import { setImmediate as nextTurn } from 'node:timers/promises';
import { afterEach, expect, test, vi } from 'vitest';
import type { Chunks } from '../../../content/chunk.ts';
import { ANONYMOUS } from '../../../shared-tier/origin/credential.ts';
import { ClientBody, type Keeper } from '../../../shared-tier/push/client-body.ts';
import { Transfer } from '../../../shared-tier/push/transfer.ts';
import { MIB, sample } from '../../content/fixtures.ts';
import { APP, REGISTRY, clientsOf, forever, httpServer } from '../fixtures.ts';
import { requested } from './requested.ts';

afterEach(() => void vi.useRealTimers());

/** Keeps everything in memory, as late as a disk may. */
class MemoryKeeper implements Keeper {
  bytes = Buffer.alloc(0);

  async keep(pieces: readonly Uint8Array[]): Promise<void> {
    await nextTurn();
    this.bytes = Buffer.concat([this.bytes, ...pieces]);
  }

  ended(): void {}

  kept(position: number): Chunks | undefined {
    const { bytes } = this;
    if (position >= bytes.length) return undefined;
    return (async function* () {
      yield { bytes: bytes.subarray(position), release: () => undefined };
    })();
  }
}

const LOCATION = '/v2/org/app/blobs/uploads/1';
const pusher = { credential: ANONYMOUS, repository: APP, maxAgeMs: Infinity, signal: forever };

test('an origin that keeps nothing of what was broken off is given way to once, not again and again', async () => {
  vi.useFakeTimers({ toFake: ['setInterval', 'clearInterval', 'performance'] });
  const tries: { bytes: number; isBroken: boolean }[] = [];
  await using origin = await httpServer((raw, response) => {
    if (raw.method === 'GET') {
      response.writeHead(204, { location: LOCATION, range: '0-0' }).end();
      return;
    }
    const attempt = { bytes: 0, isBroken: false };
    tries.push(attempt);
    raw.on('data', (piece: Buffer) => (attempt.bytes += piece.length));
    raw.on('error', () => (attempt.isBroken = true));
    raw.on('end', () => response.writeHead(202, { location: LOCATION, range: `0-${attempt.bytes - 1}` }).end());
  });
  await using tier = clientsOf({ [REGISTRY]: origin }, { entry: { maxConnections: 1 } });
  await using it = await requested();
  it.client.write(Buffer.alloc(MIB));
  const body = new ClientBody(it.raw, 0, new MemoryKeeper(), forever);
  const options = { client: tier.client().pusher, pusher, body, lengthBytes: undefined, isPlaced: false };
  const location = new URL(LOCATION, origin.url);
  const sent = new Transfer({ location, offset: 0 }, options).append();

  const isBroken = (index: number): boolean => {
    vi.advanceTimersByTime(250);
    return tries[index]?.isBroken === true;
  };
  await expect.poll(() => isBroken(0)).toBe(true);
  it.client.write(Buffer.alloc(MIB)); // enough to be worth the connection
  await expect.poll(() => tries[1]?.bytes).toBe(2 * MIB);
  for (let quarters = 0; quarters < 40; quarters += 1) {
    isBroken(1);
    await nextTurn();
  }
  it.client.end();

  expect(await sent).toEqual({ location, offset: 2 * MIB });
  expect(tries.map((each) => each.isBroken)).toEqual([true, false]);
  await body.close();
});

/** What an origin does in the middle of a body. */
const BREAKS: readonly ((raw: IncomingMessage, response: ServerResponse) => void)[] = [
  (raw) => raw.socket.destroy(),
  (raw) => raw.socket.resetAndDestroy(),
  (_raw, response) => response.writeHead(500, { 'content-length': 2 }).end('no'),
  (_raw, response) => response.writeHead(503, { 'content-length': 2 * MIB }).end(Buffer.alloc(2 * MIB)),
];

test('an origin gets the right bytes in every try, and so does the disk, however it breaks off', async () => {
  const { bytes } = sample(12 * MIB);
  let [has, tries, wrong] = [0, 0, 0];
  await using origin = await httpServer((raw, response) => {
    const told = { location: LOCATION, range: `0-${has - 1}` };
    if (raw.method === 'GET') {
      response.writeHead(204, told).end();
      return;
    }
    const breakOff = BREAKS[tries];
    tries += 1;
    let isOver = false;
    let at = has;
    const limit = has + 2 * MIB;
    raw.on('error', () => undefined);
    raw.on('data', (piece: Buffer) => {
      if (!piece.equals(bytes.subarray(at, at + piece.length))) wrong += 1;
      at += piece.length;
      if (!isOver) has = at;
      if (isOver || !breakOff || at < limit) return;
      isOver = true; // what still comes is no part of the upload, but has to be right as well
      breakOff(raw, response);
    });
    raw.on('end', () => {
      if (!isOver) response.writeHead(202, { ...told, range: `0-${has - 1}` }).end();
    });
  });
  await using tier = clientsOf({ [REGISTRY]: origin });
  await using it = await requested();
  it.client.end(bytes);
  const keeper = new MemoryKeeper();
  const body = new ClientBody(it.raw, 0, keeper, forever);
  const options = { client: tier.client().pusher, pusher, body, lengthBytes: undefined, isPlaced: false };
  const location = new URL(LOCATION, origin.url);
  const sent = await new Transfer({ location, offset: 0 }, options).append();
  await body.close();

  expect([sent.offset, tries, wrong]).toEqual([bytes.length, BREAKS.length + 1, 0]);
  expect(keeper.bytes.equals(bytes)).toBe(true);
});
