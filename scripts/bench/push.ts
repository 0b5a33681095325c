import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { residentMemory, resetPeak } from '../lab/process.ts';
import { AGENT, Bed, ORIGIN, TIER, blobUrl } from './bed.ts';
import { load, settleDisk } from './load.ts';
import { type Bench, type BenchOptions, type Row, compare, interleave } from './measure.ts';
import { REPOSITORY } from './storage.ts';

const CLIENT = fileURLToPath(new URL('push-client.ts', import.meta.url));
const PUSH_MS = 20 * 60_000;
const LINK_MEGABITS = 1000;
const AT_ONCE = 8;
const MIB = 2 ** 20;

interface Pushed {
  readonly digest: string;
  readonly seconds: number;
}

/** A blob pushed through the shared tier, which passes it on and keeps it, beside a push straight to the origin. */
export const push: Bench = {
  purpose: 'a blob pushed through the shared tier, beside a push straight to its registry',
  async run(options: BenchOptions): Promise<Row[]> {
    await using bed = await Bed.make('push', options);
    return [
      await compared(bed, options, { measurement: 'push, registry on the same machine', goal: { atLeast: 0.5 } }),
    ];
  },
};

/** The same where it matters: far away. 1.1x the time is 0.91x the speed. */
export const pushThinLink: Bench = {
  purpose: 'the same, with 1 Gbit/s to the registry',
  async run(options: BenchOptions): Promise<Row[]> {
    await using bed = await Bed.make('push-thin-link', options, LINK_MEGABITS);
    const about = { measurement: 'push, 1 Gbit/s to the registry', goal: { atLeast: 0.91 } } as const;
    return [await compared(bed, options, about)];
  },
};

/** Many pushes at the same time, and the first pull of what they brought. */
export const pushAtOnce: Bench = {
  purpose: `peak memory over idle under ${AT_ONCE} pushes at once; the first pull afterwards, beside the registry`,
  async run(options: BenchOptions): Promise<Row[]> {
    await using bed = await Bed.make('push-at-once', options, LINK_MEGABITS);
    const registry = await bed.registry(join(bed.directory, 'pushed'), { readOnly: false });
    const origin = `http://${registry.address}`;
    await using circ = await bed.circ({ origin });
    const { pid } = circ.tier.daemon;
    const idle = await residentMemory(pid);
    await resetPeak(pid);
    const seeds = Array.from({ length: AT_ONCE }, (_, index) => index + 1);
    const sizeBytes = Math.floor(options.sizeBytes / AT_ONCE);
    const pushed = await Promise.all(seeds.map((seed) => pushOne(bed, uploadsOf(TIER), sizeBytes, seed)));
    const busy = await residentMemory(pid);
    const memory = { circ: [busy.peakBytes / MIB], peer: [idle.bytes / MIB] };
    await settleDisk(bed.directory);

    const digests = pushed.map(({ digest }) => digest).values();
    const milliseconds = async (base: string): Promise<number> => {
      const { durationMs } = await load(bed.here, { url: blobUrl(base, digests.next().value ?? ''), connections: 1 });
      return durationMs;
    };
    const runs = Math.min(options.runs, AT_ONCE / 2);
    const sides = { circ: () => milliseconds(AGENT), peer: () => milliseconds(origin) };
    const pulls = await interleave(sides, { ...options, runs });
    const about = { measurement: `memory of the tier: ${AT_ONCE} pushes at once`, unit: 'MiB', peerName: 'idle' };
    return [
      compare({ ...about, goal: { atMost: 120 } }, 'difference', memory),
      compare(
        {
          measurement: 'first pull after a push, 1 Gbit/s to the registry',
          unit: 'ms',
          peerName: 'straight from the registry',
          goal: { atMost: 0.5 },
        },
        'ratio',
        pulls,
      ),
    ];
  },
};

async function compared(bed: Bed, options: BenchOptions, about: Pick<Row, 'measurement' | 'goal'>): Promise<Row> {
  const registry = await bed.registry(join(bed.directory, 'pushed'), { readOnly: false });
  const origin = `http://${registry.address}`;
  await using circ = await bed.circ({ origin });
  let seed = 0;
  /** @returns GB/s */
  const speed = async (uploads: string): Promise<number> => {
    seed += 1; // what is there already might not be pushed again
    await settleDisk(bed.directory); // what the one before has left to the page cache is not this one's
    const { seconds } = await pushOne(bed, uploads, options.sizeBytes, seed);
    return options.sizeBytes / 1e9 / seconds;
  };
  const samples = await interleave(
    { circ: () => speed(uploadsOf(TIER)), peer: () => speed(uploadsOf(origin)) },
    options,
  );
  const kept = (await circ.tier.metrics()).sum('circ_store_bytes');
  if (kept < options.runs * options.sizeBytes) throw new Error('the shared tier has not kept what was pushed');
  return compare({ ...about, unit: 'GB/s', peerName: 'straight to the registry' }, 'ratio', samples);
}

/** Where uploads begin; what is no mirror ignores the query. */
function uploadsOf(base: string): string {
  return `${base}/v2/${REPOSITORY}/blobs/uploads/?ns=${ORIGIN}`;
}

async function pushOne(bed: Bed, uploads: string, sizeBytes: number, seed: number): Promise<Pushed> {
  const argv = [process.execPath, CLIENT, uploads, `${sizeBytes}`, `${seed}`];
  const { stdout } = await bed.here.run(argv, { timeoutMs: PUSH_MS });
  const [digest = '', seconds = ''] = stdout.trim().split(' ');
  return { digest, seconds: Number(seconds) };
}
