import { join } from 'node:path';
import { Containerd, hostsToml } from '../lab/containerd.ts';
import { ensureImages, images } from '../lab/images.ts';
import { AGENT, Bed, ORIGIN, TIER, assertOutcomes } from './bed.ts';
import { settleDisk } from './load.ts';
import { type Bench, type BenchOptions, type Row, compare, interleave } from './measure.ts';

/** containerd pulls and unpacks an image of more than 1 GiB by way of the agent, or straight from the shared tier. */
export const containerdPull: Bench = {
  purpose: 'a pull by containerd through the agent, beside one straight from the shared tier',
  async run(options: BenchOptions): Promise<Row[]> {
    await using bed = await Bed.make('containerd', options);
    const registry = await bed.registry(await ensureImages(options.say));
    await using circ = await bed.circ({ origin: `http://${registry.address}` });
    await using containerd = await Containerd.start({
      namespace: bed.here,
      directory: join(bed.directory, 'containerd'),
      logFile: bed.logFile('containerd'),
    });
    const pull = async (mirror: string): Promise<number> => {
      await containerd.forget();
      await containerd.configureHost('_default', hostsToml(mirror));
      await settleDisk(bed.directory);
      const startedAt = performance.now();
      await containerd.pull(`${ORIGIN}/${images.big}`);
      return (performance.now() - startedAt) / 1000;
    };
    await pull(AGENT); // fills the shared tier
    await pull(TIER);
    const samples = await interleave(
      { circ: async () => await pull(AGENT), 'straight from the tier': async () => await pull(TIER) },
      options,
    );
    await assertOutcomes(circ, 'tier-hit', options.runs);
    const about = { measurement: 'containerd pulls 1.1 GiB', unit: 's', peerName: 'straight from the tier' } as const;
    const peer = samples['straight from the tier'];
    return [compare({ ...about, goal: { atMost: 1.1 } }, 'ratio', { circ: samples.circ, peer })];
  },
};
