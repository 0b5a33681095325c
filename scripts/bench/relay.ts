import { AGENT, Bed, TIER, assertOutcomes, blobUrl } from './bed.ts';
import { settleDisk, verify } from './load.ts';
import { type Bench, type BenchOptions, type Row, compare, interleave } from './measure.ts';

const PLAIN = 'http://127.0.0.1:8080';
const LARGE = 'http://127.0.0.1:8081';

/** What nginx does by itself, and with as much memory as circ takes for a stream. */
const PROXIES = `
  proxy_http_version 1.1;
  proxy_set_header Connection "";
  # A relay that writes to its disk what the client has not taken yet would be no relay.
  proxy_max_temp_file_size 0;
  upstream tier { server 127.0.0.1:5061; keepalive 4; }
  server { listen 127.0.0.1:8080; location / { proxy_pass http://tier; } }
  server {
    listen 127.0.0.1:8081;
    proxy_buffer_size 256k;
    proxy_buffers 16 256k;
    proxy_busy_buffers_size 1m;
    location / { proxy_pass http://tier; }
  }`;

/** A blob that the shared tier has and the node does not, through the agent, beside a proxy in the agent's place. */
export const relay: Bench = {
  purpose: 'a blob from a warm shared tier through the agent, beside nginx as its proxy',
  async run(options: BenchOptions): Promise<Row[]> {
    await using bed = await Bed.make('relay', options);
    const { here } = bed;
    const digest = await bed.storage.add(options.sizeBytes, 1);
    const registry = await bed.registry();
    await bed.nginx(PROXIES);
    await using circ = await bed.circ({ origin: `http://${registry.address}` });
    for (const base of [AGENT, AGENT, PLAIN, LARGE]) await verify(here, blobUrl(base, digest), digest);
    await settleDisk(bed.directory);

    const samples = await interleave(
      {
        circ: async () => await bed.throughput(blobUrl(AGENT, digest)),
        nginx: async () => await bed.throughput(blobUrl(PLAIN, digest)),
        'nginx 16 x 256k': async () => await bed.throughput(blobUrl(LARGE, digest)),
        'tier itself': async () => await bed.throughput(blobUrl(TIER, digest)),
      },
      options,
    );
    await assertOutcomes(circ, 'tier-hit', options.runs + 1);
    const about = { measurement: 'relay of a warm tier', unit: 'GB/s', goal: { atLeast: 1 } } as const;
    const { circ: agent, nginx, 'nginx 16 x 256k': large } = samples;
    return [
      compare({ ...about, peerName: 'nginx, proxy_pass' }, 'ratio', { circ: agent, peer: nginx }),
      compare({ ...about, peerName: 'nginx, 16 x 256 KiB' }, 'ratio', { circ: agent, peer: large }),
    ];
  },
};
