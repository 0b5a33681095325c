import { join } from 'node:path';
import { Containerd, hostsToml } from '../lab/containerd.ts';
import { AGENT, Bed, type Cost, ORIGIN, assertOutcomes } from './bed.ts';
import { settleDisk } from './load.ts';
import { type Bench, type BenchOptions, type Row, compare, formatNumber, interleave } from './measure.ts';
import { REPOSITORY } from './storage.ts';

const LAYERS = 200;

/**
 * What a pull of an image of many small layers costs in processor time: requests count there, not bytes. The origin's own
 * time is left out; it is far away.
 */
export const smallLayers: Bench = {
  purpose: 'processor time of a pull of 200 small layers by containerd, beside one without circ',
  async run(options: BenchOptions): Promise<Row[]> {
    await using bed = await Bed.make('small-layers', options);
    await bed.storage.layeredImage('small', LAYERS);
    const registry = await bed.registry();
    const origin = `http://${registry.address}`;
    await using containerd = await Containerd.start({
      namespace: bed.here,
      directory: join(bed.directory, 'containerd'),
      logFile: bed.logFile('containerd'),
    });
    bed.watch('containerd', containerd.daemon.pid);

    const pull = async (from: string): Promise<number> => {
      await containerd.forget();
      await containerd.configureHost('_default', hostsToml(from));
      await settleDisk(bed.directory);
      const startedAt = performance.now();
      const { costs } = await bed.costOf(async () => await containerd.pull(`${ORIGIN}/${REPOSITORY}:small`));
      const names = from === AGENT ? ['containerd', 'agent', 'tier'] : ['containerd'];
      const onNode = costs.filter(({ name }) => names.includes(name));
      options.say(`  ${from}: ${formatNumber((performance.now() - startedAt) / 1000)} s; CPU: ${told(onNode)}`);
      return onNode.reduce((sum, { seconds }) => sum + seconds, 0);
    };

    const rows: Row[] = [];
    for (const [admit, outcome, what] of [
      ['never', 'tier-hit', 'from the shared tier'],
      ['always', 'node-hit', 'from the node'],
    ] as const) {
      await using circ = await bed.circ({ origin, admit });
      // What is not there yet comes there, and the programs get warm.
      for (const from of [AGENT, AGENT, origin]) await pull(from);
      const samples = await interleave(
        { circ: async () => await pull(AGENT), straight: async () => await pull(origin) },
        options,
      );
      await assertOutcomes(circ, outcome, LAYERS * options.runs);
      const about = { measurement: `CPU of a pull of ${LAYERS} layers, ${what}`, unit: 's', peerName: 'without circ' };
      rows.push(compare({ ...about, goal: { atMost: 1.5 } }, 'ratio', { circ: samples.circ, peer: samples.straight }));
    }
    return rows;
  },
};

function told(costs: readonly Cost[]): string {
  return costs.map(({ name, seconds }) => `${name} ${formatNumber(seconds)} s`).join(', ');
}
