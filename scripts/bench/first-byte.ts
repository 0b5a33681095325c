import { AGENT, Bed, assertOutcomes, blobUrl } from './bed.ts';
import { load, verify } from './load.ts';
import { type Bench, type BenchOptions, type Row, compare, interleave, median } from './measure.ts';

const BLOB_BYTES = 16 * 1024 * 1024;
/** Blobs that are each read once for one figure. */
const BLOBS_PER_RUN = 10;
const FAR_MS = 50;

/** How much later the first byte of a blob comes that nobody has yet. */
export const firstByte: Bench = {
  purpose: 'the first byte of a blob that nobody has yet, beside the origin’s own',
  async run(options: BenchOptions): Promise<Row[]> {
    return [
      await measure(options, 'first byte, origin answers at once', 0),
      await measure(options, `first byte, origin answers after ${FAR_MS} ms`, FAR_MS),
    ];
  },
};

async function measure(options: BenchOptions, measurement: string, headersDelayMs: number): Promise<Row> {
  await using bed = await Bed.make('first-byte', options);
  const count = BLOBS_PER_RUN * options.runs;
  const { url, digests } = await bed.generatedOrigin({
    blobs: Array.from({ length: count + 1 }, (_, seed) => ({ sizeBytes: BLOB_BYTES, seed })),
    mood: { headersDelayMs },
  });
  await using circ = await bed.circ({ origin: url });
  const [warmUp = '', ...fresh] = digests;
  await verify(bed.here, blobUrl(AGENT, warmUp), warmUp);
  const first = async (base: string, digest: string): Promise<number> => {
    const { firstByteMs } = await load(bed.here, { url: blobUrl(base, digest), connections: 1 });
    return firstByteMs[0] ?? NaN;
  };
  const inTurn = (base: string): (() => Promise<number>) => {
    const left = fresh.values();
    return async () => {
      const samples = [];
      for (const digest of left.take(BLOBS_PER_RUN)) samples.push(await first(base, digest));
      return median(samples);
    };
  };
  options.say(measurement);
  const samples = await interleave({ circ: inTurn(AGENT), origin: inTurn(url) }, options);
  await assertOutcomes(circ, 'origin', count + 1);
  const about = { measurement, unit: 'ms', peerName: 'from the origin itself', goal: { atMost: 30 } } as const;
  return compare(about, 'difference', { circ: samples.circ, peer: samples.origin });
}
