import { readFile, readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { NAMESPACE, type Values, installChart, uninstallChart } from '../../scripts/lab/chart.ts';
import { get } from '../../scripts/lab/http.ts';
import { images } from '../../scripts/lab/images.ts';
import type { KubeNode } from '../../scripts/lab/kube-node.ts';
import { REGISTRY } from '../../scripts/lab/lab.ts';
import { type Cluster, POD_ADDRESSES, startCluster } from './cluster-fixture.ts';

const PODS = '/api/v1/namespaces/default/pods';
const APPS = `/apis/apps/v1/namespaces/${NAMESPACE}`;
const AGENTS = `${APPS}/daemonsets/circ-agent`;
const TIER = `${APPS}/deployments/circ-shared-tier`;
const START_MS = 60_000;
/** Of it all, on a busy machine. */
const TEST_MS = 540_000;

interface Pod {
  readonly metadata: { readonly name: string };
  readonly status: {
    readonly phase: string;
    readonly containerStatuses?: readonly { readonly state: { readonly waiting?: { readonly reason: string } } }[];
  };
}

interface Workload {
  readonly metadata: { readonly generation: number };
  readonly spec: { readonly replicas?: number };
  /** Of a Deployment, or of a DaemonSet. */
  readonly status: {
    readonly observedGeneration?: number;
    readonly replicas?: number;
    readonly updatedReplicas?: number;
    readonly readyReplicas?: number;
    readonly desiredNumberScheduled?: number;
    readonly updatedNumberScheduled?: number;
    readonly numberReady?: number;
  };
}

function inHub({ hub }: Cluster): (argv: readonly string[]) => readonly string[] {
  return (argv) => hub.command(argv);
}

async function install(cluster: Cluster, values: Values): Promise<void> {
  const { kube, directory } = cluster;
  const flags = ['--wait', '--timeout', '120s'];
  await installChart(values, { kubeconfig: kube.kubeconfig, directory, inPlace: inHub(cluster), flags });
}

/** What `kubectl rollout restart` does. */
async function restart({ kube }: Cluster, workload: string): Promise<void> {
  const annotations = { 'kubectl.kubernetes.io/restartedAt': new Date().toISOString() };
  await kube.patch(workload, { spec: { template: { metadata: { annotations } } } });
}

/** Whether a workload's pods are all new and ready: what `kubectl rollout status` waits for. */
async function isRolledOut({ kube }: Cluster, workload: string): Promise<boolean> {
  const { metadata, status, spec } = await kube.get<Workload>(workload);
  if (status.observedGeneration !== metadata.generation) return false;
  const wanted = spec.replicas ?? status.desiredNumberScheduled;
  const updated = status.updatedReplicas ?? status.updatedNumberScheduled;
  const ready = spec.replicas === undefined ? status.numberReady : status.readyReplicas;
  return updated === wanted && ready === wanted && (status.replicas ?? wanted) === wanted;
}

/** Pods, one after another, on either node, as if the node had never had the image. */
function podSequence(cluster: Cluster, image: string): { next(): Promise<string> } {
  let count = 0;
  return {
    next: async () => {
      const number = count++;
      const node = cluster.nodes[number % 2] ?? cluster.nodes[0];
      await node.forget(image);
      return await runPod(cluster, node, `pod-${number}`, image);
    },
  };
}

/** A pod of a private image on a node, and what became of it: its phase, or why it does not start. */
async function runPod({ kube }: Cluster, node: KubeNode, name: string, image: string): Promise<string> {
  const container = { name: 'main', image, imagePullPolicy: 'Always', command: ['/bin/true'] };
  await kube.create(PODS, {
    metadata: { name },
    spec: {
      nodeName: node.name,
      restartPolicy: 'Never',
      automountServiceAccountToken: false,
      terminationGracePeriodSeconds: 1,
      imagePullSecrets: [{ name: 'pull' }],
      containers: [container],
    },
  });
  const state = async (): Promise<string> => {
    const { status } = await kube.get<Pod>(`${PODS}/${name}`);
    return status.containerStatuses?.[0]?.state.waiting?.reason ?? status.phase;
  };
  await expect
    .poll(state, { timeout: START_MS, interval: 100 })
    .toMatch(/^(Succeeded|Failed|ErrImagePull|ImagePullBackOff)$/);
  return await state();
}

/** hosts.toml files of a node, by registry. */
async function hostsFiles({ certsDir }: KubeNode): Promise<Record<string, string>> {
  const registries = await readdir(certsDir);
  const files = registries.map(async (registry) => [
    registry,
    await readFile(join(certsDir, registry, 'hosts.toml'), 'utf8'),
  ]);
  return Object.fromEntries((await Promise.all(files)) as [string, string][]);
}

test(
  'circ is installed by its chart, serves pulls, is replaced without a failed one, and leaves nothing behind',
  async () => {
    await using cluster = await startCluster();
    const { kube, nodes, origin, values } = cluster;
    const [first, second] = nodes;
    const before = await hostsFiles(first);
    // circ's own image is pulled while there is no circ.
    await install(cluster, values);
    const { status } = await kube.get<{ status: Record<string, number> }>(AGENTS);
    expect(status).toMatchObject({ desiredNumberScheduled: 2, numberReady: 2 });
    for (const node of nodes) {
      await expect
        .poll(async () => (await hostsFiles(node))[REGISTRY], { timeout: START_MS })
        .toContain('127.0.0.1:505');
    }

    // An agent looks for the shared tier when it is asked; the registry wants a password.
    const question = `http://127.0.0.1:505/v2/${images.debian.replace(':', '/manifests/')}?ns=${REGISTRY}`;
    for (const space of cluster.spaces) {
      await expect
        .poll(async () => (await get(space, question)).status, { timeout: START_MS, interval: 500 })
        .toBe(401);
    }

    // Through circ on one node, and from circ on the other.
    const image = `${REGISTRY}/${images.debian}`;
    const readers = async (start: () => Promise<string>): Promise<string[]> => {
      const already = (await origin.blobReads()).length;
      expect(await start()).toBe('Succeeded');
      return (await origin.blobReads()).slice(already).map(({ client }) => client);
    };
    const fromTier = await readers(async () => await runPod(cluster, first, 'one', image));
    expect(fromTier.length).toBeGreaterThan(0);
    expect(fromTier.filter((client) => !client.startsWith(POD_ADDRESSES))).toEqual([]);
    expect(await readers(async () => await runPod(cluster, second, 'two', image))).toEqual([]);

    // Either part is replaced while pods start.
    const pods = podSequence(cluster, image);
    for (const workload of [AGENTS, TIER]) {
      const states = [];
      await restart(cluster, workload);
      while (!(await isRolledOut(cluster, workload))) states.push(await pods.next());
      states.push(await pods.next());
      expect(new Set(states)).toEqual(new Set(['Succeeded']));
    }

    // Gone, with all that it has written for containerd.
    await install(cluster, { ...values, agent: { ...(values['agent'] as object), uninstall: true } });
    await expect.poll(async () => await isRolledOut(cluster, AGENTS), { timeout: START_MS }).toBe(true);
    for (const node of nodes) expect(await hostsFiles(node)).toEqual(before);
    await uninstallChart({ kubeconfig: kube.kubeconfig, directory: cluster.directory, inPlace: inHub(cluster) });
    for (const node of nodes) expect(await hostsFiles(node)).toEqual(before);
    expect(await pods.next()).toBe('Succeeded');
  },
  TEST_MS,
);
