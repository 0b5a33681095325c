import { AGENT, Bed, manifestUrl } from './bed.ts';
import { type Bench, type BenchOptions, type Row, compare, formatNumber, interleave } from './measure.ts';
import { askAgain } from './rate.ts';

const CONNECTIONS = 16;
const DURATION_MS = 3_000;
const PRIVATE_PORT = 5001;
/** `puller:s3cret`, and bcrypt of that with the least work. */
const HTPASSWD = 'puller:$2a$04$RYRewAFrkvJ/KKrJ1lsGfeeCgoyZSGgAwllvTiCrjQHW/y3jSKyUK\n';
const HEADERS = {
  authorization: `Basic ${Buffer.from('puller:s3cret').toString('base64')}`,
  accept: 'application/vnd.oci.image.manifest.v1+json',
};

/**
 * How many small requests of one caller are answered in a second. circ has the manifest from a registry that asks for a
 * password, and looks at each request whether this caller may read it. The registry beside it serves the same to anybody:
 * one that asks for a password spends most of its time on bcrypt.
 */
export const requests: Bench = {
  purpose: 'manifest HEADs and GETs per second, authorized, beside a registry that is open',
  async run(options: BenchOptions): Promise<Row[]> {
    await using bed = await Bed.make('requests', options);
    const { storage, here } = bed;
    const layer = await storage.add(1024, 1);
    const digest = await storage.image([{ digest: layer, size: 1024 }]);
    const open = await bed.registry();
    const locked = await bed.registry(storage.registry, { port: PRIVATE_PORT, htpasswd: HTPASSWD });
    await using circ = await bed.circ({ origin: `http://${locked.address}` });

    const rate = async (method: 'GET' | 'HEAD', base: string, durationMs = DURATION_MS): Promise<number> => {
      const request = {
        method,
        url: manifestUrl(base, digest),
        headers: HEADERS,
        connections: CONNECTIONS,
        durationMs,
      };
      const { result, costs } = await bed.costOf(async () => await askAgain(here, request));
      const micros = costs
        .filter(({ seconds }) => seconds > 0.1)
        .map(({ name, seconds }) => `${name} ${formatNumber((seconds / result.requests) * 1e6)}`);
      options.say(`  ${new URL(base).host}: CPU microseconds a request: ${micros.join(', ')}`);
      return (result.requests / result.durationMs) * 1000;
    };
    const rows: Row[] = [];
    for (const method of ['HEAD', 'GET'] as const) {
      const peer = `http://${open.address}`;
      for (const base of [AGENT, peer]) await rate(method, base, DURATION_MS / 3); // they get warm
      const samples = await interleave(
        { circ: async () => await rate(method, AGENT), distribution: async () => await rate(method, peer) },
        options,
      );
      const about = { measurement: `manifest ${method}, authorized`, unit: '/s', peerName: 'CNCF distribution, open' };
      rows.push(
        compare({ ...about, goal: { atLeast: 2 } }, 'ratio', { circ: samples.circ, peer: samples.distribution }),
      );
    }
    const metrics = await circ.agent.metrics();
    const hits = metrics.sum('circ_requests_total', { kind: 'manifest', outcome: 'node-hit' });
    const others = metrics.sum('circ_requests_total', { kind: 'manifest' }) - hits;
    // Each minute the caller's right is asked for anew, by all connections at once.
    if (others > hits / 100) throw new Error(`${others} answers of the agent were no node hits, ${hits} were`);
    return rows;
  },
};
