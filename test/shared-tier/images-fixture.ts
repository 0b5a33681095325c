import { expect } from 'vitest';
import { digestOf } from '../../oci/digest.ts';
import { parseRegistry } from '../../oci/reference.ts';
import type { OriginOptions } from '../support/origin.ts';
import { startOrigin } from '../support/origin.ts';
import { APP, REGISTRY, type TierOptions, placeOf, refOf, tierOf } from './fixtures.ts';

export const NONE: Uint8Array = new Uint8Array();
/** Who sends no credentials, as containerd does at first. */
export const NOBODY = { form: 'ns', authorization: undefined } as const;
export const OTHER = parseRegistry('other.test');
export const LAYER = Buffer.from('the bytes of a layer');
export const layer = digestOf(LAYER);
export const here = placeOf(APP);
export const there = placeOf('org/other');
export const tag = refOf('v1');

export async function imagesOf(options: TierOptions = {}, originOptions: OriginOptions = {}) {
  const stack = new AsyncDisposableStack();
  const origin = stack.use(await startOrigin(originOptions));
  const other = stack.use(await startOrigin());
  const { manifest } = await origin.addImage(APP, 'v1', { layers: [LAYER] });
  const tier = stack.use(await tierOf({ [REGISTRY]: origin, [OTHER]: other }, options));
  const { images } = tier;
  return {
    ...tier,
    origin,
    other,
    manifest,
    resolve: (reference = tag, place = here, withContent = true, accept: string[] = []) =>
      images.resolve({ asker: NOBODY, grant: NONE, place, reference, accept, withContent }),
    locate: (place = here, digest = layer, grant = NONE) => images.locateBlob({ asker: NOBODY, place, digest, grant }),
    stat: (place = here, digest = layer, grant = NONE) => images.statBlob({ asker: NOBODY, place, digest, grant }),
    async fetchLayer(): Promise<void> {
      await images.locateBlob({ asker: NOBODY, place: here, digest: layer, grant: NONE });
      await expect.poll(() => tier.records.hasFrom(REGISTRY, layer)).toBe(true);
    },
    [Symbol.asyncDispose]: () => stack[Symbol.asyncDispose](),
  };
}
