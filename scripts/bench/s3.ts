import { AGENT, Bed, type Circ, assertOutcomes, blobUrl } from './bed.ts';
import { settleDisk, verify } from './load.ts';
import { type Bench, type BenchOptions, type Row, compare, interleave } from './measure.ts';

const BLOB_BYTES = 256 * 1024 * 1024;
/** For the programs' own warming up; its bytes are others than those that are measured. */
const WARM_UP_BYTES = 32 * 1024 * 1024;
const UPLOAD_MS = 60_000;
const LOOK_MS = 100;

/**
 * A shared tier with a bucket of versitygw, beside one with a directory. The goals allow for that server taking part of the
 * same cores.
 */
export const s3: Bench = {
  purpose: 'a blob through a shared tier with a bucket, beside one with a directory',
  async run(options: BenchOptions): Promise<Row[]> {
    await using bed = await Bed.make('s3', options);
    const digest = await bed.storage.add(BLOB_BYTES, 1);
    const warmUp = await bed.storage.add(WARM_UP_BYTES, 2);
    const registry = await bed.registry();
    const gateway = await bed.s3();
    const origin = `http://${registry.address}`;
    await verify(bed.here, blobUrl(origin, digest), digest);
    let round = 0;

    /** One read by a tier that has just started. */
    const read = async (circ: Circ, outcome: 'origin' | 'tier-hit', atLeast: number): Promise<number> => {
      await settleDisk(bed.directory);
      const speed = await bed.throughput(blobUrl(AGENT, digest));
      await assertOutcomes(circ, outcome, atLeast);
      await untilKept(circ);
      return speed;
    };
    const started = async (tier: Record<string, string> = {}): Promise<Circ> => {
      const circ = await bed.circ({ origin, tier });
      await verify(bed.here, blobUrl(AGENT, warmUp), warmUp);
      await untilKept(circ);
      return circ;
    };
    const samples = await interleave(
      {
        coldS3: async () => {
          await using circ = await started(gateway.env(`round-${(round += 1)}`));
          return await read(circ, 'origin', 2);
        },
        // The next life of the same tier, with an empty spool.
        warmS3: async () => {
          await using circ = await started(gateway.env(`round-${round}`));
          return await read(circ, 'tier-hit', 2);
        },
        coldDisk: async () => {
          await using circ = await started();
          return await read(circ, 'origin', 2);
        },
        warmDisk: async () => {
          await using circ = await started();
          await verify(bed.here, blobUrl(AGENT, digest), digest);
          await untilKept(circ);
          return await read(circ, 'tier-hit', 1);
        },
      },
      options,
    );
    const about = { unit: 'GB/s', peerName: 'a directory' } as const;
    return [
      compare({ ...about, measurement: 'bucket, cold', goal: { atLeast: 0.4 } }, 'ratio', {
        circ: samples.coldS3,
        peer: samples.coldDisk,
      }),
      compare({ ...about, measurement: 'bucket, not in the spool', goal: { atLeast: 0.5 } }, 'ratio', {
        circ: samples.warmS3,
        peer: samples.warmDisk,
      }),
    ];
  },
};

/** Waits until the store has what the client has had. */
async function untilKept({ tier }: Circ): Promise<void> {
  const { promise: late, reject } = Promise.withResolvers<never>();
  const timer = setTimeout(() => reject(new Error('the store does not take the blob')), UPLOAD_MS);
  const look = async (): Promise<void> => {
    while ((await tier.metrics()).sum('circ_fetches_in_flight') > 0)
      await new Promise((next) => setTimeout(next, LOOK_MS));
  };
  try {
    await Promise.race([look(), late]);
  } finally {
    clearTimeout(timer);
  }
}
