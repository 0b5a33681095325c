import { describe, expect, test } from 'vitest';
import { generatedBlob } from '../support/blobs.ts';
import { type Pulled, download, pull, urlOf } from '../support/house-client.ts';
import { type House, startHouse } from '../support/house.ts';
import { type Origin, startOrigin } from '../support/origin.ts';

const MIB = 1024 * 1024;
const REGISTRY = 'limited.test';
const BIG_LAYERS = 12;
/** Of the small image: two layers and the configuration. */
const SMALL_BLOBS = 3;

/** An origin with limits, and two images at it, one of them much larger. */
async function limited(entry: Record<string, unknown>) {
  await using stack = new AsyncDisposableStack();
  const origin = stack.use(await startOrigin());
  const house = stack.use(await startHouse({ registries: { [REGISTRY]: { url: origin.url, entry } } }));
  // One layer comes in segments, the others in one request each.
  const sizes = [80, ...Array.from({ length: BIG_LAYERS - 1 }, () => 8)];
  const big = await origin.addImage('org/big', 'v1', { layers: sizes.map((mib, i) => generatedBlob(mib * MIB, i)) });
  const layers = [generatedBlob(MIB, 100), generatedBlob(2 * MIB, 101)];
  const small = await origin.addImage('org/small', 'v1', { layers });
  const running = stack.move();
  return { origin, house, big, small, [Symbol.asyncDispose]: () => running.disposeAsync() };
}

async function pullSmall({ mirror }: House): Promise<Pulled> {
  return await pull({ mirror, registry: REGISTRY, repository: 'org/small', reference: 'v1' });
}

/** All layers of the big image at once. */
function pullBig({ mirror }: House, layers: readonly { digest: string }[]) {
  const place = { mirror, registry: REGISTRY, repository: 'org/big' };
  return Promise.all(layers.map(({ digest }) => download(urlOf(place, 'blobs', digest))));
}

/** The connections that carried bytes at once, at most. */
function mostAtOnce({ requests }: Origin): number {
  const bodies = requests.filter(({ kind, method }) => kind === 'blob' && method === 'GET');
  return Math.max(
    ...bodies.map(({ at }) => bodies.filter((other) => other.at <= at && (other.endedAt ?? Infinity) > at).length),
  );
}

describe('an origin of which two images are pulled at once', () => {
  test('by its only connection for bytes sends the small one in between, a turn for a turn', async () => {
    await using t = await limited({ maxConnections: 2 });
    t.origin.mood = { bytesPerSecondPerConnection: 48 * MIB };
    const big = pullBig(t.house, t.big.layers);
    const bigTurns = () => t.origin.count({ kind: 'blob', method: 'GET', repository: 'org/big' });
    await t.origin.arrived({ kind: 'blob', method: 'GET', repository: 'org/big' });
    const before = bigTurns();
    await pullSmall(t.house);
    // Each blob of the small one waits for what is under way, never for what waits as well.
    expect(bigTurns() - before).toBeLessThanOrEqual(SMALL_BLOBS + 1);
    for (const layer of await big) expect(layer).toMatchObject({ status: 200, isWhole: true });
    expect(bigTurns() - before).toBeGreaterThan(SMALL_BLOBS + 1);
    expect(mostAtOnce(t.origin)).toBe(1);
    for (const { digest, sizeBytes } of t.big.layers) expect(t.origin.bodyBytes(digest)).toBe(sizeBytes);
  }, 60_000);

  test('with a connection to spare gives it to the small one at once, though nothing of the big one ends', async () => {
    await using t = await limited({ maxConnections: 5 });
    t.origin.when({ repository: 'org/big', method: 'GET', kind: 'blob' }, { bytesPerSecondPerConnection: MIB / 8 });
    const big = pullBig(t.house, t.big.layers);
    await t.origin.arrived({ kind: 'blob', method: 'GET', repository: 'org/big' }, 3);
    const bigTurns = () => t.origin.count({ kind: 'blob', method: 'GET', repository: 'org/big' });
    expect((await pullSmall(t.house)).blobs).toHaveLength(SMALL_BLOBS);
    expect(bigTurns()).toBe(3);
    expect(t.origin.requests.filter(({ endedAt }) => endedAt === undefined)).toHaveLength(3);
    await t.house.stopTier();
    await big;
  }, 60_000);

  test('and whose bandwidth is limited gives each of them its share of it', async () => {
    await using t = await limited({ bandwidth: '16MiB/s' });
    const big = pullBig(t.house, t.big.layers);
    await t.origin.arrived({ kind: 'blob', method: 'GET', repository: 'org/big' }, BIG_LAYERS - 1);
    const startedAt = performance.now();
    await pullSmall(t.house);
    // 3 MiB at half of 16 MiB/s; with one share for each of a dozen connections it takes 8 s.
    expect(performance.now() - startedAt).toBeLessThan(4_000);
    await t.house.stopTier();
    await big;
  }, 60_000);
});
