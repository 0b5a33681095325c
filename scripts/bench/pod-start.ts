import { randomBytes } from 'node:crypto';
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type Cluster, OWN_REGISTRY, startCluster } from '../lab/cluster.ts';
import { ensureDebianTools } from '../lab/debian-tools.ts';
import { get } from '../lab/http.ts';
import { images } from '../lab/images.ts';
import type { KubeNode } from '../lab/kube-node.ts';
import { buildKubeTools } from '../lab/kube-tools.ts';
import { createPod, deletePod, podOutcome, podState } from '../lab/pods.ts';
import { run } from '../lab/run.ts';
import { until } from '../lab/until.ts';
import { settleDisk } from './load.ts';
import { type Bench, type BenchOptions, type Row, compare, interleave } from './measure.ts';

const LINK_MEGABITS = 200;
const REPOSITORY = 'org/app';
const LAYERS = 3;
const LAYER_BYTES = 32 * 1024 * 1024;
/** Of the nodes with an agent. */
const LABEL = { 'circ-bench': 'agent' };

/** How long a pod takes from the moment when its node is decided until it runs; each round has an image nobody has seen. */
export const podStart: Bench = {
  purpose: `a pod from bound to running, in a real cluster with ${LINK_MEGABITS} Mbit/s to the origin, beside a node without circ`,
  async run(options: BenchOptions): Promise<Row[]> {
    await ensureDebianTools(options.say);
    await buildKubeTools(options.say);
    await using cluster = await startCluster(3);
    const [first, second, plain] = cluster.nodes;
    if (plain === undefined) throw new Error('no third node');
    options.say('making the images …');
    await pushImages(cluster, options.runs);
    for (const { name } of [first, second]) {
      await cluster.kube.patch(`/api/v1/nodes/${name}`, { metadata: { labels: LABEL } });
    }
    await cluster.install(cluster.onDisk({ admit: 'always', nodeSelector: LABEL }));
    const question = `http://127.0.0.1:505/v2/${REPOSITORY}/manifests/1?ns=${OWN_REGISTRY}`;
    for (const space of cluster.spaces.slice(0, 2)) {
      await until('agents reach the shared tier', async () => (await get(space, question)).status === 200);
    }
    await cluster.network.limitUplink(cluster.own.namespace, LINK_MEGABITS);

    const start = podStarter(cluster);
    let round = 0;
    const samples = await interleave(
      {
        'without circ': async () => await start(plain, (round += 1)),
        cold: async () => await start(first, round),
        'the tier has it': async () => await start(second, round),
        'the node has it': async () => await start(second, round),
      },
      options,
    );
    const { 'without circ': peer, ...sides } = samples;
    const goals = { cold: 1.1, 'the tier has it': 0.5, 'the node has it': 0.5 };
    return Object.entries(sides).map(([name, circ]) => {
      const goal = { atMost: goals[name as keyof typeof goals] };
      const measurement = `pod bound until running, 110 MiB, ${LINK_MEGABITS} Mbit/s to the origin: ${name}`;
      return compare({ measurement, unit: 's', peerName: 'without circ', goal }, 'ratio', { circ, peer });
    });
  },
};

/** Measures the start of a pod of the image with this number, whose node has never had it. @returns seconds */
function podStarter({ kube }: Cluster): (node: KubeNode, number: number) => Promise<number> {
  let pods = 0;
  return async (node, number) => {
    const [name, image] = [`pod-${(pods += 1)}`, `${OWN_REGISTRY}/${REPOSITORY}:${number}`];
    await settleDisk(tmpdir());
    const startedAtMs = performance.now();
    await createPod(kube, node, { name, image, command: ['/bin/sleep', 'infinity'] });
    const outcome = await podOutcome(kube, name);
    const seconds = (performance.now() - startedAtMs) / 1000;
    if (outcome !== 'Running') throw new Error(`${name} on ${node.name}: ${outcome}`);
    await deletePod(kube, name);
    await until('the pod is gone', async () => (await podState(kube, name).catch(() => 'gone')) === 'gone');
    await node.forget(image);
    return seconds;
  };
}

/** A Debian and layers that cannot be compressed, none of which is in another image. */
async function pushImages(cluster: Cluster, count: number): Promise<void> {
  const { origin, own } = cluster;
  const directory = await mkdtemp(join(tmpdir(), 'circ-bench-images-'));
  try {
    const [root, files] = [join(directory, 'root'), join(directory, 'layer')];
    await mkdir(root);
    await mkdir(files);
    await cluster.crane('export', `${origin.address}/${images.debian}`, join(directory, 'debian.tar'));
    await run(['tar', '-C', root, '-xf', join(directory, 'debian.tar')]);
    for (let number = 1; number <= count; number += 1) {
      const layers = [
        join(directory, 'root.tar'),
        ...Array.from({ length: LAYERS }, (_, at) => join(directory, `${at}.tar`)),
      ];
      for (const [at, layer] of layers.entries()) {
        if (at === 0) await writeFile(join(root, 'number'), `${number}`);
        else await writeFile(join(files, `model-${at}`), randomBytes(LAYER_BYTES));
        await run(['tar', '-C', at === 0 ? root : files, '-cf', layer, '.']);
        await rm(join(files, `model-${at}`), { force: true });
        await run(['gzip', '-1', '-n', '-f', layer]);
      }
      const flags = layers.flatMap((layer) => ['-f', `${layer}.gz`]);
      await cluster.crane(
        'append',
        '--oci-empty-base',
        ...flags,
        '-t',
        `${own.registry.address}/${REPOSITORY}:${number}`,
      );
    }
  } finally {
    await rm(directory, { recursive: true });
  }
}
