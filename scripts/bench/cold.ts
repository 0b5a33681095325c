import { AGENT, Bed, assertOutcomes, blobUrl, manifestUrl } from './bed.ts';
import { load, settleDisk, verify } from './load.ts';
import { type Bench, type BenchOptions, type Row, compare, interleave } from './measure.ts';

const LINK_MEGABITS = 1000;
/** As several large registries give. */
const SLOW_BYTES_PER_SECOND = 40e6;
/** For the programs' own warming up; its bytes are others than those that are measured. */
const WARM_UP_BYTES = 96 * 1024 * 1024;

interface Place {
  readonly bed: Bed;
  readonly origin: string;
  readonly digest: string;
  readonly warmUp: string;
  /** The manifest that names the blob, which every client reads first; without it circ does not know the blob's size. */
  readonly manifest?: string;
}

/** Of the blobs where the origin is slow. */
const SLOW_BLOB_BYTES = 256 * 1024 * 1024;

/** A blob that nobody has yet through circ, beside the same blob from the origin itself. */
export const cold: Bench = {
  purpose: 'a blob that nobody has yet, beside a pull from its origin, which is as fast as this machine',
  async run(options: BenchOptions): Promise<Row[]> {
    await using bed = await Bed.make('cold', options);
    const about = { measurement: 'cold, origin as fast as this machine', goal: { atLeast: 0.9 } } as const;
    return [await measure(await withRegistry(bed, options.sizeBytes), options, about)];
  },
};

/** The same where it matters: far away. */
export const coldThinLink: Bench = {
  purpose: 'the same, with 1 Gbit/s to the origin in all',
  async run(options: BenchOptions): Promise<Row[]> {
    await using bed = await Bed.make('cold-thin-link', options, LINK_MEGABITS);
    const about = { measurement: 'cold, 1 Gbit/s to the origin', goal: { atLeast: 0.9 } } as const;
    return [await measure(await withRegistry(bed, SLOW_BLOB_BYTES), options, about)];
  },
};

/** The same where each connection is slow, but not all of them together. */
export const coldSlowConnections: Bench = {
  purpose: 'the same, from an origin that gives 40 MB/s to each connection',
  async run(options: BenchOptions): Promise<Row[]> {
    await using bed = await Bed.make('cold-slow-connections', options);
    const { url, digests } = await bed.generatedOrigin({
      blobs: [
        { sizeBytes: SLOW_BLOB_BYTES, seed: 1 },
        { sizeBytes: WARM_UP_BYTES, seed: 2 },
      ],
      mood: { bytesPerSecondPerConnection: SLOW_BYTES_PER_SECOND },
    });
    const [digest = '', warmUp = ''] = digests;
    const about = { measurement: 'cold, 40 MB/s a connection', goal: { atLeast: 3 } } as const;
    return [await measure({ bed, origin: url, digest, warmUp }, options, about)];
  },
};

async function withRegistry(bed: Bed, sizeBytes: number): Promise<Place> {
  const digest = await bed.storage.add(sizeBytes, 1);
  const warmUp = await bed.storage.add(WARM_UP_BYTES, 2);
  const manifest = await bed.storage.image([{ digest, size: sizeBytes }]);
  const registry = await bed.registry();
  return { bed, origin: `http://${registry.address}`, digest, warmUp, manifest };
}

async function measure(
  { bed, origin, digest, warmUp, manifest }: Place,
  options: BenchOptions,
  about: Pick<Row, 'measurement' | 'goal'>,
): Promise<Row> {
  const { here } = bed;
  await verify(here, blobUrl(origin, digest), digest);
  const throughCirc = async (): Promise<number> => {
    await using circ = await bed.circ({ origin });
    await verify(here, blobUrl(AGENT, warmUp), warmUp);
    if (manifest !== undefined) await load(here, { url: manifestUrl(AGENT, manifest), connections: 1 });
    await settleDisk(bed.directory);
    const result = await bed.throughput(blobUrl(AGENT, digest));
    await assertOutcomes(circ, 'origin', 2);
    return result;
  };
  const samples = await interleave(
    { circ: throughCirc, origin: async () => await bed.throughput(blobUrl(origin, digest)) },
    options,
  );
  const sides = { circ: samples.circ, peer: samples.origin };
  return compare({ ...about, unit: 'GB/s', peerName: 'from the origin itself' }, 'ratio', sides);
}
