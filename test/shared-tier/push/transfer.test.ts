import { setImmediate as nextTurn } from 'node:timers/promises';
import { afterEach, expect, test, vi } from 'vitest';
import { ANONYMOUS } from '../../../shared-tier/origin/credential.ts';
import { ClientBody, type Keeper } from '../../../shared-tier/push/client-body.ts';
import { Transfer } from '../../../shared-tier/push/transfer.ts';
import { MIB } from '../../content/fixtures.ts';
import { APP, REGISTRY, clientsOf, forever, httpServer } from '../fixtures.ts';
import { requested } from './requested.ts';

afterEach(() => void vi.useRealTimers());

/** Keeps everything in memory. */
function keeper(): Keeper {
  let all = Buffer.alloc(0);
  return {
    keep: async (pieces) => void (all = Buffer.concat([all, ...pieces])),
    ended: () => undefined,
    kept: (position) =>
      position < all.length
        ? (async function* () {
            yield { bytes: all.subarray(position), release: () => undefined };
          })()
        : undefined,
  };
}

test('an origin that keeps nothing of what was broken off is given way to once, not again and again', async () => {
  vi.useFakeTimers({ toFake: ['setInterval', 'clearInterval', 'performance'] });
  const tries: { bytes: number; isBroken: boolean }[] = [];
  await using origin = await httpServer((raw, response) => {
    const location = '/v2/org/app/blobs/uploads/1';
    if (raw.method === 'GET') {
      response.writeHead(204, { location, range: '0-0' }).end();
      return;
    }
    const attempt = { bytes: 0, isBroken: false };
    tries.push(attempt);
    raw.on('data', (piece: Buffer) => (attempt.bytes += piece.length));
    raw.on('error', () => (attempt.isBroken = true));
    raw.on('end', () => response.writeHead(202, { location, range: `0-${attempt.bytes - 1}` }).end());
  });
  await using tier = clientsOf({ [REGISTRY]: origin }, { entry: { maxConnections: 1 } });
  await using it = await requested();
  it.client.write(Buffer.alloc(MIB));
  const body = new ClientBody(it.raw, 0, keeper(), forever);
  const pusher = { credential: ANONYMOUS, repository: APP, maxAgeMs: Infinity, signal: forever };
  const options = { client: tier.client().pusher, pusher, body, lengthBytes: undefined, isPlaced: false };
  const location = new URL('/v2/org/app/blobs/uploads/1', origin.url);
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
