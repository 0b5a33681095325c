import { mkdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { expect, onTestFailed, test } from 'vitest';
import { logTails, REGISTRY } from '../../scripts/lab/lab.ts';
import { get } from '../../scripts/lab/http.ts';
import type { Namespace } from '../../scripts/lab/network.ts';
import { repositoryRoot } from '../../scripts/lab/paths.ts';
import { Prometheus } from '../../scripts/lab/prometheus.ts';
import { Site } from '../../scripts/lab/site.ts';
import type { SmallImages, SmallImagesResult } from '../../scripts/lab/small-images.ts';

interface Dashboard {
  readonly panels: readonly {
    readonly title: string;
    readonly fieldConfig?: { readonly defaults: { readonly unit: string } };
    readonly targets?: readonly { readonly expr: string; readonly legendFormat: string }[];
  }[];
}

const LAYER_BYTES = 256 * 1024;
/** The images take 25 MiB: both caches have to evict. */
const IMAGES = 100;
const AGENT_ENV = { CIRC_AGENT_CACHE_SIZE: '6MiB', CIRC_AGENT_STATUS_LISTEN: '0.0.0.0:5051' };
const TIER_ENV = { CIRC_TIER_STORE_SIZE: '12MiB' };

test('every panel of the dashboard has something to show, with names to tell its lines apart', async () => {
  const dashboard = JSON.parse(await readFile('manifests/circ/files/dashboard.json', 'utf8')) as Dashboard;
  await using site = await Site.start('dashboard');
  onTestFailed(async () => void process.stderr.write(await logTails(site.logs)));
  const prometheus = await startWithTraffic(site);
  const asked = dashboard.panels.flatMap(({ title, fieldConfig, targets = [] }) =>
    targets.map((target) => ({ title, unit: fieldConfig?.defaults.unit, ...target })),
  );
  expect(asked.length).toBeGreaterThan(30);
  for (const { title, unit, expr, legendFormat } of asked) {
    // Grafana's own variables; all of the traffic is in the last minutes.
    const query = expr.replaceAll('$__rate_interval', '4m').replaceAll('$__range', '4m');
    const shown = async (): Promise<Shown> => {
      const series = await prometheus.query(query);
      const names = series.map(({ labels }) =>
        legendFormat.replaceAll(/\{\{(\w+)\}\}/g, (_, name) => labels[name] ?? ''),
      );
      return { values: series.map(({ value }) => value), names, most: unit === 'percentunit' ? 1 : Infinity };
    };
    await expect.poll(shown, { timeout: 10_000, message: `${title}: ${query}` }).toSatisfy(isReadable);
  }
});

interface Shown {
  readonly values: readonly number[];
  /** In the legend. */
  readonly names: readonly string[];
  /** A share is not larger than this. */
  readonly most: number;
}

/** There is something, which Grafana draws: neither NaN nor infinite; and its lines can be told apart. */
function isReadable({ values, names, most }: Shown): boolean {
  return (
    values.length > 0 &&
    values.every((value) => Number.isFinite(value) && value <= most) &&
    new Set(names).size === names.length
  );
}

/** Prometheus, an agent, a shared tier with leases, and all that pulls and pushes do to the metrics of these. */
async function startWithTraffic(site: Site): Promise<Prometheus> {
  const { hub } = site.network;
  const { registry: origin, namespace: originNode } = await site.origin({});
  const leases = await site.leases();
  site.use(await site.tier({ namespace: hub, name: 'tier', env: { ...leases.env('tier'), ...TIER_ENV } }));
  const node = await site.network.attach('node');
  const certs = join(site.directory, 'certs.d');
  await mkdir(certs);
  const env = { CIRC_CONTAINERD_CERTS_DIR: certs, ...AGENT_ENV };
  site.use(await site.agent(hub, { namespace: node, name: 'agent', env }));
  const prometheus = site.use(
    await Prometheus.start({
      namespace: hub,
      directory: join(site.directory, 'prometheus'),
      logFile: site.logFile('prometheus'),
      jobs: {
        'circ-agent': { node: `${node.address}:5051` },
        'circ-shared-tier': { tier: `${hub.address}:5062` },
      },
    }),
  );
  await smallImages(originNode, { verb: 'push', url: `http://${origin.address}`, prefix: '' });
  const pull = { verb: 'pull', url: 'http://127.0.0.1:5050', prefix: `${REGISTRY}/` } as const;
  // More than fit; then few that do, until the node keeps them.
  await smallImages(node, { ...pull, pulls: 200 });
  await smallImages(node, { ...pull, images: 5, pulls: 40 });
  expect((await get(node, `${pull.url}/v2/${REGISTRY}/small/0/manifests/absent`)).status).toBe(404);
  await smallImages(hub, {
    ...pull,
    verb: 'push',
    url: 'http://127.0.0.1:5061',
    prefix: `${REGISTRY}/pushed/`,
    images: 3,
    layerBytes: LAYER_BYTES + 1,
  });
  return prometheus;
}

async function smallImages(
  namespace: Namespace,
  part: Pick<SmallImages, 'verb' | 'url' | 'prefix'> & Partial<SmallImages>,
): Promise<void> {
  const argument = JSON.stringify({ images: IMAGES, layerBytes: LAYER_BYTES, pulls: 0, ...part } satisfies SmallImages);
  const argv = [process.execPath, join(repositoryRoot, 'scripts/lab/small-images.ts'), argument];
  const { stdout } = await namespace.run(argv, { timeoutMs: 60_000 });
  expect((JSON.parse(stdout) as SmallImagesResult).failures).toEqual([]);
}
