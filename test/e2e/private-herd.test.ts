import { expect, test } from 'vitest';
import { herd, startHerdHouse } from '../support/private-herd.ts';

/** As many as a large cluster has, and as few answers a second as registries allow one address. */
const NODES = 1_000;
const PER_SECOND = 50;

test.each(['bearer', 'basic'] as const)(
  'none of 1,000 nodes that start the same private image at once goes to an origin that takes 50 requests a second (%s)',
  async (auth) => {
    await using it = await startHerdHouse({ auth, perSecond: PER_SECOND });
    const { served, sentAway, durationMs } = await herd(it, NODES, 1);
    const heads = it.house.origin.count({ kind: 'manifest', method: 'HEAD', status: 200 });
    process.stderr.write(
      `${auth}: ${NODES} nodes in ${Math.round(durationMs / 1000)} s, ${heads} HEADs, ${it.rate.refused} times 429\n`,
    );
    expect([served, [...sentAway]]).toEqual([NODES, []]);
    expect(heads).toBeLessThanOrEqual(2 * NODES);
  },
);
