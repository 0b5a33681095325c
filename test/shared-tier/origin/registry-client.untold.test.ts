import { expect, test } from 'vitest';
import type { Options } from '../../../shared-tier/origin/registry-client.ts';
import { bytesBlob } from '../../support/blobs.ts';
import { startOrigin } from '../../support/origin.ts';
import { APP, REGISTRY, clientsOf, failureOf, forever } from '../fixtures.ts';

const LAYER = Buffer.from('some bytes of a layer');
const range = { start: 4, end: 9 };

/** A blob of an origin that tells no length, and knows no ranges. */
async function untold() {
  const running = new AsyncDisposableStack();
  const origin = running.use(await startOrigin({ mood: { noLength: true, ranges: false } }));
  const { digest } = await origin.addBlob(APP, bytesBlob(LAYER));
  const tier = running.use(clientsOf({ [REGISTRY]: origin }));
  const registry = tier.registry();
  return {
    origin,
    get: async (sizeIfUntold: Options['sizeIfUntold']) =>
      await registry.getBlob(APP, digest, range, { signal: forever, sizeIfUntold }),
    touch: async (sizeIfUntold: Options['sizeIfUntold']) =>
      await registry.touchBlob(APP, digest, { signal: forever, sizeIfUntold }),
    [Symbol.asyncDispose]: () => running.disposeAsync(),
  };
}

test('a blob of which the origin tells no length has the size that a manifest tells', async () => {
  await using it = await untold();
  const { pieces, ...body } = await it.get(async () => LAYER.length);
  expect(body).toMatchObject({ start: 0, sizeBytes: LAYER.length, isRange: false });
  expect(Buffer.concat(await Array.fromAsync(pieces))).toEqual(LAYER);
  expect(await it.touch(async () => LAYER.length)).toMatchObject({ sizeBytes: LAYER.length });
});

test.each<[string, Options['sizeIfUntold']]>([
  ['no manifest tells', async () => undefined],
  ['nobody can find out', async () => await Promise.reject(new Error('away'))],
])('the answer is none when %s a size either', async (_why, size) => {
  await using it = await untold();
  expect(await failureOf(it.get(size))).toMatchObject({ code: 'UNAVAILABLE' });
  await it.origin.idle();
});

test('the length that the origin tells counts', async () => {
  await using it = await untold();
  it.origin.calm();
  const body = await it.get(async () => 1);
  expect(body).toMatchObject({ start: 4, sizeBytes: LAYER.length, isRange: true });
  body.cancel();
});
