import { AGENT, Bed, assertOutcomes, blobOutcomes, blobUrl } from './bed.ts';
import { settleDisk, verify } from './load.ts';
import { type Bench, type BenchOptions, type Row, compare, interleave } from './measure.ts';

const NGINX = 'http://127.0.0.1:8080';

/** Clients at once, and into how many parts the large blob goes, so that all together read about as much. */
const CASES = [
  { clients: 1, parts: 1 },
  { clients: 8, parts: 4 },
  { clients: 64, parts: 16 },
] as const;

/** A blob that the node keeps, served from its disk, beside file servers that serve the same bytes. */
export const nodeHit: Bench = {
  purpose: 'a blob from the disk of the node for 1, 8 and 64 clients, beside nginx and a registry',
  async run(options: BenchOptions): Promise<Row[]> {
    await using bed = await Bed.make('node-hit', options);
    const { here, storage } = bed;
    const digests = [];
    for (const { parts } of CASES) digests.push(await storage.add(Math.ceil(options.sizeBytes / parts), parts));
    const registry = await bed.registry();
    await bed.nginx(`server { listen 127.0.0.1:8080; root ${storage.webRoot}; }`);
    const origin = `http://${registry.address}`;
    await using circ = await bed.circ({ origin, admit: 'always' });

    const rows: Row[] = [];
    let hits = 0;
    for (const [at, { clients }] of CASES.entries()) {
      const digest = digests[at] ?? '';
      // Once to fill the node's cache; its copy is visible a moment after the client has all of it.
      await circ.agent.daemon.until('keeping its copy', async () => {
        await verify(here, blobUrl(AGENT, digest), digest);
        return (await blobOutcomes(circ, 'node-hit')) > hits;
      });
      for (const base of [NGINX, origin]) await verify(here, blobUrl(base, digest), digest);
      await settleDisk(bed.directory);

      const samples = await interleave(
        {
          circ: async () => await bed.throughput(blobUrl(AGENT, digest), clients),
          nginx: async () => await bed.throughput(blobUrl(NGINX, digest), clients),
          distribution: async () => await bed.throughput(blobUrl(origin, digest), clients),
        },
        options,
      );
      hits += clients * options.runs + 1;
      await assertOutcomes(circ, 'node-hit', hits);
      hits = await blobOutcomes(circ, 'node-hit');
      const what = clients === 1 ? 'node hit' : `node hit, ${clients} clients`;
      const about = { measurement: what, unit: 'GB/s', goal: { atLeast: 1 } } as const;
      const peers = { 'nginx, sendfile': samples.nginx, 'CNCF distribution': samples.distribution };
      for (const [peerName, peer] of Object.entries(peers)) {
        rows.push(compare({ ...about, peerName }, 'ratio', { circ: samples.circ, peer }));
      }
    }
    return rows;
  },
};
