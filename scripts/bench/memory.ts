import { formatSize } from '../../service/units.ts';
import { AGENT, Bed, type Circ, type CircOptions, assertOutcomes, blobUrl } from './bed.ts';
import { load, settleDisk } from './load.ts';
import { type Bench, type BenchOptions, type Row, compare } from './measure.ts';
import { type Resident, residentMemory, resetPeak } from '../lab/process.ts';

const CLIENTS = 64;
const LIMIT_MIB = 80;
const MIB = 2 ** 20;
const MANY_READ_BYTES = 256 * MIB;

interface Case {
  readonly measurement: string;
  readonly digest: string;
  readonly connections: number;
  readonly admit: NonNullable<CircOptions['admit']>;
  /** What the answers have to be. */
  readonly outcome: string;
  /** Requests that come first and are not measured. */
  readonly before: number;
}

/** How much the two programs grow under load, since they were started and idle. */
export const memory: Bench = {
  purpose: 'peak memory over idle: a huge blob, many clients',
  async run(options: BenchOptions): Promise<Row[]> {
    await using bed = await Bed.make('memory', options);
    const { url, digests } = await bed.generatedOrigin({
      blobs: [
        { sizeBytes: options.sizeBytes * 10, seed: 1 },
        { sizeBytes: MANY_READ_BYTES, seed: 2 },
      ],
      mood: {},
    });
    const [huge = '', large = ''] = digests;
    const many = `${CLIENTS} clients`;
    const herd = { digest: large, connections: CLIENTS };
    const cases: Case[] = [
      {
        measurement: `${formatSize(options.sizeBytes * 10)}, cold`,
        digest: huge,
        connections: 1,
        admit: 'always',
        outcome: 'origin',
        before: 0,
      },
      { ...herd, measurement: `${many}, cold`, admit: 'never', outcome: 'origin', before: 0 },
      { ...herd, measurement: `${many}, relay`, admit: 'never', outcome: 'tier-hit', before: 1 },
      { ...herd, measurement: `${many}, node hit`, admit: 'always', outcome: 'node-hit', before: 1 },
    ];
    const rows: Row[] = [];
    for (const each of cases) rows.push(...(await measure(bed, url, each, options)));
    return rows;
  },
};

async function measure(bed: Bed, origin: string, each: Case, { say }: BenchOptions): Promise<Row[]> {
  say(each.measurement);
  await using circ = await bed.circ({ origin, admit: each.admit });
  const idle = await residentOf(circ);
  const request = { url: blobUrl(AGENT, each.digest), connections: 1 };
  for (let at = 0; at < each.before; at += 1) await load(bed.here, request);
  await settleDisk(bed.directory);
  for (const { daemon } of [circ.agent, circ.tier]) await resetPeak(daemon.pid);
  await load(bed.here, { ...request, connections: each.connections });
  const busy = await residentOf(circ);
  await assertOutcomes(circ, each.outcome, each.connections);
  return (['agent', 'tier'] as const).map((name) => {
    const samples = { circ: [busy[name].peakBytes / MIB], peer: [idle[name].bytes / MIB] };
    const about = { measurement: `memory of the ${name}: ${each.measurement}`, unit: 'MiB', peerName: 'idle' };
    return compare({ ...about, goal: { atMost: LIMIT_MIB } }, 'difference', samples);
  });
}

async function residentOf({ agent, tier }: Circ): Promise<Record<'agent' | 'tier', Resident>> {
  return { agent: await residentMemory(agent.daemon.pid), tier: await residentMemory(tier.daemon.pid) };
}
