import { AGENT, Bed, assertOutcomes, blobOutcomes, blobUrl } from './bed.ts';
import { settleDisk, verify } from './load.ts';
import { type Bench, type BenchOptions, type Row, compare, interleave } from './measure.ts';

const NGINX = 'http://127.0.0.1:8080';

/** A blob that the node keeps, served from its disk, beside file servers that serve the same bytes. */
export const nodeHit: Bench = {
  purpose: 'a blob from the disk of the node, beside nginx and a registry',
  async run(options: BenchOptions): Promise<Row[]> {
    await using bed = await Bed.make('node-hit', options);
    const digest = await bed.storage.add(options.sizeBytes, 1);
    const registry = await bed.registry();
    await bed.nginx(`server { listen 127.0.0.1:8080; root ${bed.storage.webRoot}; }`);
    const origin = `http://${registry.address}`;
    await using circ = await bed.circ({ origin, admit: 'always' });

    const { here } = bed;
    // Once to fill the node's cache; its copy is visible a moment after the client has all of it.
    await circ.agent.daemon.until('keeping its copy', async () => {
      await verify(here, blobUrl(AGENT, digest), digest);
      return (await blobOutcomes(circ, 'node-hit')) > 0;
    });
    for (const base of [NGINX, origin]) await verify(here, blobUrl(base, digest), digest);
    await settleDisk(bed.directory);

    const samples = await interleave(
      {
        circ: async () => await bed.throughput(blobUrl(AGENT, digest)),
        nginx: async () => await bed.throughput(blobUrl(NGINX, digest)),
        distribution: async () => await bed.throughput(blobUrl(origin, digest)),
      },
      options,
    );
    await assertOutcomes(circ, 'node-hit', options.runs + 1);
    const about = { measurement: 'node hit', unit: 'GB/s', goal: { atLeast: 1 } } as const;
    return [
      compare({ ...about, peerName: 'nginx, sendfile' }, 'ratio', { circ: samples.circ, peer: samples.nginx }),
      compare({ ...about, peerName: 'CNCF distribution' }, 'ratio', { circ: samples.circ, peer: samples.distribution }),
    ];
  },
};
