import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { Bed, ORIGIN, TIER } from './bed.ts';
import { type Bench, type BenchOptions, type Row, compare, interleave } from './measure.ts';
import { REPOSITORY } from './storage.ts';

const CLIENT = fileURLToPath(new URL('push-client.ts', import.meta.url));
const PUSH_MS = 20 * 60_000;

/** A blob pushed through the shared tier, which passes it on and keeps it, beside a push straight to the origin. */
export const push: Bench = {
  purpose: 'a blob pushed through the shared tier, beside a push straight to its registry',
  async run(options: BenchOptions): Promise<Row[]> {
    await using bed = await Bed.make('push', options);
    const registry = await bed.registry(join(bed.directory, 'pushed'), { readOnly: false });
    const origin = `http://${registry.address}`;
    await using circ = await bed.circ({ origin });
    let seed = 0;
    /** @returns GB/s */
    const pushed = async (uploads: string): Promise<number> => {
      seed += 1; // what is there already might not be pushed again
      const argv = [process.execPath, CLIENT, uploads, `${options.sizeBytes}`, `${seed}`];
      const { stdout } = await bed.here.run(argv, { timeoutMs: PUSH_MS });
      return options.sizeBytes / 1e9 / Number(stdout);
    };
    const samples = await interleave(
      {
        circ: async () => await pushed(`${TIER}/v2/${REPOSITORY}/blobs/uploads/?ns=${ORIGIN}`),
        peer: async () => await pushed(`${origin}/v2/${REPOSITORY}/blobs/uploads/`),
      },
      options,
    );
    const kept = (await circ.tier.metrics()).sum('circ_store_bytes');
    if (kept < options.runs * options.sizeBytes) throw new Error('the shared tier has not kept what was pushed');
    const about = { measurement: 'push', unit: 'GB/s', peerName: 'straight to the registry' } as const;
    return [compare({ ...about, goal: { atLeast: 0.5 } }, 'ratio', samples)];
  },
};
