import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { expect, onTestFailed, test } from 'vitest';
import type { Program } from '../../scripts/lab/circ.ts';
import { ensureImages, images } from '../../scripts/lab/images.ts';
import { type Descriptor, logTails, REGISTRY } from '../../scripts/lab/lab.ts';
import type { Namespace } from '../../scripts/lab/network.ts';
import { Site } from '../../scripts/lab/site.ts';
import { toolPath } from '../../scripts/lab/tools.ts';

/** Of the link to the origin, in Mbit/s: the layer takes ten seconds and more. */
const LINK = 800;
const [REPOSITORY = '', TAG = ''] = images.big.split(':');

test('two replicas that are asked for the same layer at once fetch it once', async () => {
  await using lab = await startReplicas();
  const digests = await Promise.all(lab.nodes.map((node) => lab.download(node)));
  expect(digests).toEqual([lab.layer.digest, lab.layer.digest]);
  expect(await lab.bytesFromOrigin()).toBe(lab.layer.size);
  const scrapes = await Promise.all(lab.tiers.map((tier) => tier.metrics()));
  expect(scrapes.map((scrape) => scrape.sum('circ_fetch_duplicates_total'))).toEqual([0, 0]);
  await expect.poll(() => lab.leases()).toEqual([]);
});

test('a replica goes on with what the other one was fetching when it was killed', async () => {
  await using lab = await startReplicas();
  const [first, second] = lab.tiers;
  // The first one is asked before the other: then it is the one that fetches.
  const broken = lab.download(lab.nodes[0]).catch(() => 'broken off');
  await first.daemon.until('fetching', async () => (await first.metrics()).sum('circ_origin_bytes_total') > 1e8);
  const reading = lab.download(lab.nodes[1]);
  await first.daemon.until('half way', async () => (await first.metrics()).sum('circ_origin_bytes_total') > 5e8);
  await first.daemon.stop('SIGKILL');

  expect(await reading).toBe(lab.layer.digest);
  expect(await broken).toBe('broken off');
  const metrics = await second.metrics();
  expect(metrics.sum('circ_fetch_duplicates_total')).toBe(1);
  // It had followed the first one, and asked for the rest only.
  expect(metrics.sum('circ_origin_bytes_total')).toBeLessThan(lab.layer.size - 5e7);
  await expect.poll(() => lab.leases()).toEqual([]);
});

test('a replica that meets another one with another store is not ready, and says why', async () => {
  await using lab = await startReplicas(['one', 'another']);
  const [first, second] = lab.tiers;
  const readings = lab.nodes.map((node) => lab.download(node));
  await first.daemon.until('not ready', async () => {
    const answers = await Promise.all([first.ready(), second.ready()]);
    return answers.includes(false);
  });
  expect(await Promise.all(readings)).toEqual([lab.layer.digest, lab.layer.digest]);
  const logs = await Promise.all(lab.tiers.map(({ daemon }) => daemon.log()));
  expect(logs.join('')).toContain('another replica has another store');
});

interface ReplicasLab extends AsyncDisposable {
  readonly nodes: readonly [Namespace, Namespace];
  readonly tiers: readonly [Program, Program];
  readonly layer: Descriptor;
  /** Reads the layer from the tier on a node, and returns its digest. */
  download(node: Namespace): Promise<string>;
  bytesFromOrigin(): Promise<number>;
  leases(): Promise<unknown[]>;
}

/** Two replicas with a Kubernetes API, and an origin behind a thin link. Each has a disk, but they may pass for one store. */
async function startReplicas(
  stores: readonly [string, string] = ['one store for all', 'one store for all'],
): Promise<ReplicasLab> {
  await using stack = new AsyncDisposableStack();
  const site = stack.use(await Site.start('replicas'));
  onTestFailed(async () => {
    process.stderr.write(await logTails(site.logs));
  });
  const { network } = site;
  const { namespace: originNode, registry: origin } = await site.origin({ storage: await ensureImages() });
  const nodes = [await network.attach('tier-0'), await network.attach('tier-1')] as const;
  const leases = await site.leases();
  const start = async (namespace: Namespace, store: string): Promise<Program> => {
    const { name } = namespace;
    await mkdir(join(site.directory, name, 'v1'), { recursive: true });
    await writeFile(join(site.directory, name, 'v1/id'), store);
    return stack.use(await site.tier({ namespace, name, env: leases.env(name) }));
  };
  const tiers = [await start(nodes[0], stores[0]), await start(nodes[1], stores[1])] as const;
  const argv = [toolPath('crane'), 'manifest', `${origin.address}/${REPOSITORY}:${TAG}`];
  const { layers } = JSON.parse((await originNode.run(argv)).stdout) as { layers: [Descriptor] };
  const [layer] = layers;
  await network.limitUplink(originNode, LINK);

  const running = stack.move();
  return {
    nodes,
    tiers,
    layer,
    download: async (node) => {
      const url = `http://127.0.0.1:5061/v2/${REGISTRY}/${REPOSITORY}/blobs/${layer.digest}`;
      const script = 'set -o pipefail; curl -fsS --noproxy "*" "$0" | sha256sum';
      const { stdout } = await node.run(['bash', '-c', script, url], { timeoutMs: 120_000 });
      return `sha256:${stdout.split(' ', 1).join()}`;
    },
    bytesFromOrigin: async () => {
      const reads = await origin.blobReads(layer.digest);
      return reads.reduce((total, { bytes }) => total + bytes, 0);
    },
    leases: async () => await leases.list(),
    [Symbol.asyncDispose]: async () => await running.disposeAsync(),
  };
}
