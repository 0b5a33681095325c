import { type Digest, digestOf } from '../../../oci/digest.ts';
import type { Origin } from '../../support/origin.ts';
import { APP, forever, refOf } from '../fixtures.ts';

export const ask = { accept: [], signal: forever };
export const tag = refOf('v1');
export const absent = digestOf(Buffer.from('absent'));

/** An image of one layer; its layer. */
export async function image(origin: Origin): Promise<Digest> {
  const { layers } = await origin.addImage(APP, 'v1', { layers: [Buffer.from('layer')] });
  return layers[0]?.digest ?? absent;
}
