import { buildKubeTools } from '../lab/kube-tools.ts';
import { HerdLab, type HerdResult, type HerdTier } from '../lab/herd.ts';
import { cpuSeconds, residentMemory, resetPeak } from '../lab/process.ts';
import { type Bench, type BenchOptions, type Row, compare, formatNumber, interleave, median } from './measure.ts';

const MIB = 1024 * 1024;
const NODES = 300;
const IMAGE = { layers: 12, layerBytes: MIB };
/** Objects so small that nothing but their number counts. */
const SMALL_IMAGE = { layers: 200, layerBytes: 1024 };
const KEPT_MS = 60_000;

/** Nodes that pull one image at the same time, from three replicas with a bucket and a Kubernetes API. */
export const herdReplicas: Bench = {
  purpose: `${NODES} nodes pull a cold image of ${IMAGE.layers} MiB at once from three replicas, and what leases cost`,
  async run(options: BenchOptions): Promise<Row[]> {
    await buildKubeTools(options.say);
    return [...(await herd(options)), await leaseOverhead(options)];
  },
};

async function herd(options: BenchOptions): Promise<Row[]> {
  await using lab = await HerdLab.start({ name: 'bench-herd', nodes: NODES, images: options.runs, ...IMAGE });
  let image = '';
  const left: number[] = [];
  let tier: HerdTier | undefined;
  const samples = await interleave(
    {
      cold: async () => {
        await tier?.[Symbol.asyncDispose]();
        tier = await lab.tier();
        image = lab.freshImage();
        const { result, bytesFromOrigin } = await lab.costsOf(() => pull(lab, tier, { image, what: 'cold' }, options));
        left.push(bytesFromOrigin / result.bytes);
        await kept(tier);
        return result.durationMs / 1000;
      },
      warm: async () => (await pull(lab, tier, { image, what: 'warm' }, options)).durationMs / 1000,
    },
    options,
  );
  await tier?.[Symbol.asyncDispose]();
  return [
    compare(
      { measurement: `${NODES} nodes, 3 replicas, cold`, unit: 's', peerName: 'warm', goal: { atMost: 1.3 } },
      'ratio',
      { circ: samples.cold, peer: samples.warm },
    ),
    compare(
      { measurement: 'bytes from the origin per byte served', unit: 'x', peerName: 'one of them', goal: { atMost: 1 } },
      'ratio',
      { circ: left, peer: left.map(() => 1 / NODES) },
    ),
  ];
}

/** One herd, with what it cost each program. @throws unless every node has got every byte */
async function pull(
  lab: HerdLab,
  tier: HerdTier | undefined,
  { image, what }: { image: string; what: string },
  { say }: Pick<BenchOptions, 'say'>,
): Promise<HerdResult> {
  const { registry } = lab.origin;
  const programs = new Map([
    ['origin', registry.daemon.pid],
    ['bucket', lab.gateway.daemon.pid],
    ['kube-apiserver', lab.leases.kube.server.pid],
    ...(tier?.replicas ?? []).map(({ namespace, daemon }) => [namespace.name, daemon.pid] as const),
  ]);
  const before = new Map<string, number>();
  for (const [name, pid] of programs) {
    before.set(name, await cpuSeconds(pid));
    await resetPeak(pid);
  }
  const result = await (await lab.herd(image)).ended;
  if (result.failures.length > 0) throw new Error(result.failures.join('\n'));
  const costs = [`nodes ${cost(result.cpuSeconds, result.peakBytes)}`];
  for (const [name, pid] of programs) {
    const seconds = (await cpuSeconds(pid)) - (before.get(name) ?? 0);
    costs.push(`${name} ${cost(seconds, (await residentMemory(pid)).peakBytes)}`);
  }
  const sorted = result.firstByteMs.toSorted((a, b) => a - b);
  const first = [0.5, 0.99].map((part) => `${formatNumber(sorted[Math.floor(sorted.length * part)] ?? NaN)} ms`);
  const speed = formatNumber(result.bytes / result.durationMs / 1e6);
  say(
    `  ${what}: ${formatNumber(result.durationMs / 1000)} s, ${speed} GB/s; first byte p50, p99: ${first.join(', ')}`,
  );
  say(`  ${what}: CPU seconds, peak resident: ${costs.join('; ')}`);
  return result;
}

function cost(seconds: number, bytes: number): string {
  return `${formatNumber(seconds)} s, ${formatNumber(bytes / MIB)} MiB`;
}

/** What a lease adds to each object that is fetched. */
async function leaseOverhead(options: BenchOptions): Promise<Row> {
  await using lab = await HerdLab.start({ name: 'bench-leases', nodes: 1, images: 2 * options.runs, ...SMALL_IMAGE });
  const perObject = (env: Readonly<Record<string, string>>) => async (): Promise<number> => {
    await using tier = await lab.tier(env);
    const { durationMs } = await pull(
      lab,
      tier,
      { image: lab.freshImage(), what: env['CIRC_TIER_LEASES'] ?? 'kubernetes' },
      options,
    );
    return durationMs / SMALL_IMAGE.layers;
  };
  const samples = await interleave(
    { kubernetes: perObject({}), memory: perObject({ CIRC_TIER_LEASES: 'memory' }) },
    options,
  );
  options.say(`${formatNumber(median(samples.kubernetes))} ms an object with leases in Kubernetes`);
  return compare(
    {
      measurement: 'a small cold object, three at a time, leases in Kubernetes',
      unit: 'ms',
      peerName: 'leases in memory',
      // Two calls of an API that writes what it is told.
      goal: { atMost: 20 },
    },
    'difference',
    { circ: samples.kubernetes, peer: samples.memory },
  );
}

/** Waits until the bucket has what was fetched: a warm pull must not pay for it. */
async function kept(tier: HerdTier): Promise<void> {
  const [first] = tier.replicas;
  await first?.daemon.until('idle', async () => (await tier.sum('circ_fetches_in_flight')) === 0, KEPT_MS);
}
