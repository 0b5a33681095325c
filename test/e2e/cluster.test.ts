import { readFile, readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, beforeEach, expect, test } from 'vitest';
import { NAMESPACE } from '../../scripts/lab/chart.ts';
import { type Cluster, POD_ADDRESSES, PULL_SECRET, startCluster } from '../../scripts/lab/cluster.ts';
import { get } from '../../scripts/lab/http.ts';
import { images } from '../../scripts/lab/images.ts';
import type { KubeNode } from '../../scripts/lab/kube-node.ts';
import { type Descriptor, logTails } from '../../scripts/lab/lab.ts';
import { type PodOptions, runPod } from '../../scripts/lab/pods.ts';
import type { RequestRecord } from '../../scripts/lab/registry.ts';
import { REGISTRY } from '../../scripts/lab/site.ts';
import { isRolledOut, restartWorkload } from '../../scripts/lab/workloads.ts';

const APPS = `/apis/apps/v1/namespaces/${NAMESPACE}`;
const AGENTS = `${APPS}/daemonsets/circ-agent`;
const TIER = `${APPS}/deployments/circ-shared-tier`;
const IMAGE = `${REGISTRY}/${images.debian}`;
const MODEL = `${REGISTRY}/${images.layer}`;
/** For an agent that is up to ask the shared tier, and the registry then wants a password. */
const QUESTION = `http://127.0.0.1:505/v2/${images.debian.replace(':', '/manifests/')}?ns=${REGISTRY}`;
const WAIT = { timeout: 60_000, interval: 200 };

/** One cluster for all tests, one after another; each says itself what is to be installed. */
let cluster: Cluster;
let before: Record<string, string>;
let pods = 0;
const stack = new AsyncDisposableStack();

beforeAll(async () => {
  cluster = stack.use(await startCluster());
  before = await hostsFiles(cluster.nodes[0]);
}, 240_000);

beforeEach(({ onTestFailed }) => {
  onTestFailed(async () => void process.stderr.write(await logTails(cluster.logs)));
});

afterAll(async () => await stack.disposeAsync());

/** A pod of a private image, as if the node had never had its images. @returns what became of it */
async function startPod(node: KubeNode, options: Partial<PodOptions> = {}): Promise<string> {
  await node.forget(IMAGE);
  if (options.volume !== undefined) await node.forget(options.volume);
  return await runPod(cluster.kube, node, { name: `pod-${pods++}`, image: IMAGE, secret: PULL_SECRET, ...options });
}

/** Starts pods on either node in turn until something is true, and then one on each. @returns what became of them, once each */
async function startPodsUntil(
  isOver: () => Promise<boolean> | boolean,
  options?: Partial<PodOptions>,
): Promise<string[]> {
  const states = new Set<string>();
  let left = 2;
  while (left > 0) {
    if (await isOver()) left -= 1;
    states.add(await startPod(cluster.nodes[pods % 2] ?? cluster.nodes[0], options));
  }
  return [...states];
}

/** Starts pods until a workload's own are replaced. @returns what became of them, once each */
async function startPodsWhileReplacing(workload: string, options: Partial<PodOptions> = {}): Promise<string[]> {
  await restartWorkload(cluster.kube, workload);
  return await startPodsUntil(async () => await isRolledOut(cluster.kube, workload), options);
}

/** What an agent says to the node's containerd; undefined: there is none. */
async function answers(): Promise<(number | undefined)[]> {
  return await Promise.all(
    cluster.spaces.map(async (space) => {
      return await get(space, QUESTION).then(
        ({ status }) => status,
        () => undefined,
      );
    }),
  );
}

/** The origin's answers with blobs meanwhile; a first byte alone is an answer to whether somebody may read it. */
async function readsDuring(action: () => Promise<unknown>): Promise<RequestRecord[]> {
  const already = (await cluster.origin.blobReads()).length;
  await action();
  const reads = (await cluster.origin.blobReads()).slice(already);
  return reads.filter(({ status, bytes }) => status < 300 && bytes > 1);
}

function isFromPod({ client }: RequestRecord): boolean {
  return client.startsWith(POD_ADDRESSES);
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

function sizesOf(blobs: readonly Descriptor[]): Record<string, number> {
  return Object.fromEntries(blobs.map(({ digest, size }) => [digest, size]));
}

async function leases(): Promise<object[]> {
  const path = `/apis/coordination.k8s.io/v1/namespaces/${NAMESPACE}/leases`;
  return (await cluster.kube.get<{ items: object[] }>(path)).items;
}

test('what starts before circ is there is pulled from its registry, and so is circ itself', async () => {
  for (const node of cluster.nodes) expect(await startPod(node, { hostNetwork: true })).toBe('Succeeded');
  let isInstalled = false;
  const installed = cluster.install(cluster.onDisk()).then(() => (isInstalled = true));
  expect(await startPodsUntil(() => isInstalled)).toEqual(['Succeeded']);
  await installed;
  const { status } = await cluster.kube.get<{ status: Record<string, number> }>(AGENTS);
  expect(status).toMatchObject({ desiredNumberScheduled: 2, numberReady: 2 });
  const nodes = new Set(cluster.spaces.map(({ address }) => address));
  const pullers = (await cluster.own.registry.requests()).filter(({ userAgent }) => userAgent.startsWith('containerd'));
  expect(new Set(pullers.map(({ client }) => client))).toEqual(nodes);
});

test('a private image is pulled through circ on one node, and from circ on the other', async () => {
  await cluster.install(cluster.onDisk());
  for (const node of cluster.nodes) {
    await expect.poll(async () => (await hostsFiles(node))[REGISTRY], WAIT).toContain('127.0.0.1:505');
  }
  await expect.poll(answers, WAIT).toEqual([401, 401]);
  const [first, second] = cluster.nodes;
  const model = { volume: MODEL, command: ['/bin/bash', '-c', '[ $(wc -c </image/model.bin) = 67108864 ]'] };
  const reads = await readsDuring(async () => expect(await startPod(first, model)).toBe('Succeeded'));
  expect(reads.length).toBeGreaterThan(0);
  expect(reads.filter((read) => !isFromPod(read))).toEqual([]);
  expect(await readsDuring(async () => expect(await startPod(second, model)).toBe('Succeeded'))).toEqual([]);
});

test('in an agent’s pod the doctor finds all well, called as docs/troubleshooting.md says', async () => {
  await cluster.install(cluster.onDisk());
  const [{ name }] = cluster.nodes;
  const ofNode = ['-l', 'app.kubernetes.io/component=agent', '--field-selector', `spec.nodeName=${name}`];
  const pod = await cluster.kubectl('-n', NAMESPACE, 'get', 'pods', '-o', 'name', ...ofNode);
  const report = await cluster.kubectl('-n', NAMESPACE, 'exec', pod, '--', 'node', 'circctl/main.js', 'doctor');
  const verdicts = report.split('\n').map((line) => line.split(/ +/, 2));
  // Of containerd itself a pod sees nothing.
  expect(verdicts.filter(([verdict]) => verdict !== 'ok')).toEqual([
    ['skipped', 'containerd-too-old'],
    ['skipped', 'config-path'],
  ]);
  expect(verdicts.length).toBeGreaterThanOrEqual(10);
});

test.each([
  ['agents are', AGENTS],
  ['shared tier is', TIER],
])('the %s replaced while pods start, and none fails', async (_, workload) => {
  await cluster.install(cluster.onDisk());
  expect(await startPodsWhileReplacing(workload)).toEqual(['Succeeded']);
});

test('nodes that lost their power start pods before the shared tier is there, and use it once it is', async () => {
  const { kube, nodes } = cluster;
  await cluster.install(cluster.onDisk());
  await kube.patch(TIER, { spec: { replicas: 0 } });
  await expect.poll(answers, WAIT).toEqual([503, 503]);
  for (const node of nodes) await node.forget(IMAGE);
  await Promise.all(nodes.map(async (node) => await node.reboot()));
  for (const node of nodes) expect((await hostsFiles(node))[REGISTRY]).toContain('127.0.0.1:505');
  const early = await Promise.all(nodes.map(async (node) => await startPod(node)));
  expect(early).toEqual(['Succeeded', 'Succeeded']);
  const isAgentUp = async (): Promise<boolean> => (await answers()).every((status) => status === 503);
  expect(await startPodsUntil(isAgentUp)).toEqual(['Succeeded']);

  await kube.patch(TIER, { spec: { replicas: 1 } });
  await expect.poll(answers, WAIT).toEqual([401, 401]);
  expect(await readsDuring(async () => await Promise.all(nodes.map(async (node) => await startPod(node))))).toEqual([]);
});

test('three replicas with a bucket take turns by Leases, send for each byte once, and are replaced unnoticed', async () => {
  const { kube, nodes } = cluster;
  // Nodes that keep nothing ask the shared tier for everything.
  await cluster.install(cluster.inBucket(3, { admit: 'never' }));
  await expect.poll(answers, WAIT).toEqual([401, 401]);
  const model = sizesOf(await cluster.blobs(images.layer));
  const sizes = { ...model, ...sizesOf(await cluster.blobs(images.debian)) };
  const callsBefore = (await kube.leaseCalls(NAMESPACE)).length;
  const reads = await readsDuring(async () => {
    const both = await Promise.all(nodes.map(async (node) => await startPod(node, { volume: MODEL })));
    expect(both).toEqual(['Succeeded', 'Succeeded']);
  });
  expect(reads.filter((read) => !isFromPod(read))).toEqual([]);
  const sent: Record<string, number> = {};
  for (const { path, bytes } of reads) {
    const digest = path.slice(path.lastIndexOf('/') + 1);
    sent[digest] = (sent[digest] ?? 0) + bytes;
  }
  // Of the other image the nodes have kept what earlier tests have pulled.
  expect(sent).toMatchObject(model);
  expect(sizes).toMatchObject(sent);

  const made = (await kube.leaseCalls(NAMESPACE)).slice(callsBefore).filter(({ verb }) => verb === 'create');
  expect(made.filter(({ status }) => status === 201).length).toBeGreaterThanOrEqual(Object.keys(sent).length);
  expect(made.filter(({ status }) => status !== 201 && status !== 409)).toEqual([]);
  await expect.poll(leases, WAIT).toEqual([]);

  const later = await readsDuring(async () => {
    expect(await startPodsWhileReplacing(TIER, { volume: MODEL })).toEqual(['Succeeded']);
  });
  expect(later).toEqual([]);
  await expect.poll(leases, WAIT).toEqual([]);
});

test('circ goes with all that it has written for containerd', async () => {
  const { kube, nodes } = cluster;
  await cluster.install(cluster.inBucket(1, { uninstall: true }));
  await expect.poll(async () => await isRolledOut(kube, AGENTS), WAIT).toBe(true);
  for (const node of nodes) expect(await hostsFiles(node)).toEqual(before);
  await cluster.uninstall();
  for (const node of nodes) expect(await hostsFiles(node)).toEqual(before);
  expect(await startPodsUntil(() => true)).toEqual(['Succeeded']);
});
