import { get } from '../lab/http.ts';
import { AGENT, Bed, TIER, blobUrl } from './bed.ts';
import { load } from './load.ts';
import { type Bench, type BenchOptions, type Row, compare, interleave } from './measure.ts';

const CLIENTS = 32;
const BLOB_BYTES = 64 * 1024 * 1024;

/** Many clients at once want a blob that nobody has yet: what leaves the origin, by the origin's own log. */
export const herd: Bench = {
  purpose: `bytes that leave the origin for ${CLIENTS} clients and one blob that nobody has yet`,
  async run(options: BenchOptions): Promise<Row[]> {
    await using bed = await Bed.make('herd', options);
    const digest = await bed.storage.add(BLOB_BYTES, 1);
    const registry = await bed.registry();
    const origin = `http://${registry.address}`;

    const left = async (): Promise<number> => {
      // The log is in the order of the answers' ends, so this one comes after those that ended before.
      const mark = `/v2/?after=${process.hrtime.bigint()}`;
      await get(bed.here, `${origin}${mark}`);
      await registry.daemon.until('logging', async () => (await registry.requests()).some(({ path }) => path === mark));
      return (await registry.blobReads(digest)).reduce((sum, { bytes }) => sum + bytes, 0);
    };
    const rush = (base: string) => async (): Promise<number> => {
      await using circ = await bed.circ({ origin, admit: 'second-request' });
      const before = await left();
      const { bytes } = await load(bed.here, { url: blobUrl(base, digest), connections: CLIENTS });
      if (bytes !== CLIENTS * BLOB_BYTES) throw new Error(`${circ.agent.daemon.name} sent ${bytes} bytes`);
      return ((await left()) - before) / 2 ** 20;
    };
    const samples = await interleave({ agent: rush(AGENT), tier: rush(TIER) }, options);

    const peer = samples.agent.map(() => BLOB_BYTES / 2 ** 20);
    const about = { unit: 'MiB', peerName: 'size of the blob', goal: { atMost: 1 } } as const;
    const measurement = `left the origin, ${CLIENTS} clients`;
    return [
      compare({ ...about, measurement: `${measurement} at an agent` }, 'ratio', { circ: samples.agent, peer }),
      compare({ ...about, measurement: `${measurement} at the tier` }, 'ratio', { circ: samples.tier, peer }),
    ];
  },
};
