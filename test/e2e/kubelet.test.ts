import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { expect, onTestFailed, test } from 'vitest';
import type { Program } from '../../scripts/lab/circ.ts';
import { hostsToml } from '../../scripts/lab/containerd.ts';
import { ensureImages, images } from '../../scripts/lab/images.ts';
import { KubeNode } from '../../scripts/lab/kube-node.ts';
import { AGENT_URL, logTails, REGISTRY } from '../../scripts/lab/lab.ts';
import { type Auth, auths, PrivateRegistries, PULLER } from '../../scripts/lab/private-registries.ts';
import { sandboxImage } from '../../scripts/lab/sandbox-image.ts';
import { Site } from '../../scripts/lab/site.ts';
import { craneIn } from '../../scripts/lab/crane.ts';

const PODS = '/api/v1/namespaces/default/pods';

interface PodStatus {
  readonly phase: string;
  readonly containerStatuses?: readonly { readonly state: { readonly waiting?: { readonly reason: string } } }[];
}

interface Cluster extends AsyncDisposable {
  /** Addresses that have read blobs from the origin. */
  blobReaders(): Promise<Set<string>>;
  readonly agent: Program;
  readonly tierAddress: string;
  /** A pod of the Debian image on the node. */
  createPod(name: string, imagePullSecrets: readonly { name: string }[]): Promise<void>;
  status(name: string): Promise<PodStatus>;
}

/** A Kubernetes API, a node with kubelet and agent, a shared tier, and an origin that asks who somebody is. */
async function startCluster(auth: Auth): Promise<Cluster> {
  const storage = await ensureImages();
  await using stack = new AsyncDisposableStack();
  const site = stack.use(await Site.start('kubelet'));
  const { network, directory, logs } = site;
  onTestFailed(async () => {
    process.stderr.write(await logTails(logs));
  });
  const registries = stack.use(await PrivateRegistries.start({ network, storage, directory, logs }));
  const namespace = await network.attach('node');
  const { address } = registries.of('Basic');
  const secret = Buffer.from(`${PULLER.username}:${PULLER.password}`).toString('base64');
  await mkdir(join(directory, '.docker'));
  await writeFile(join(directory, '.docker/config.json'), JSON.stringify({ auths: { [address]: { auth: secret } } }));
  const files = join(directory, 'debian.tar');
  const outside = await network.attach('outside');
  await craneIn({ namespace: outside, home: directory })('export', `${address}/${images.debian}`, files);
  const sandbox = await sandboxImage(files, directory);

  await registries.writeOrigins(site.origins, { [REGISTRY]: auth });
  stack.use(await site.tier({ namespace: network.hub, name: 'tier' }));
  const agent = stack.use(await site.agent(network.hub, { namespace, name: 'agent' }));
  const kube = await site.kubernetes();
  const node = stack.use(await KubeNode.start({ namespace, kube, directory: join(directory, 'node'), logs, sandbox }));
  await node.configureHosts(hostsToml(AGENT_URL));
  await kube.create('/api/v1/namespaces/default/serviceaccounts', { metadata: { name: 'default' } });
  const config = { auths: { [REGISTRY]: { auth: secret } } };
  await kube.create('/api/v1/namespaces/default/secrets', {
    metadata: { name: 'pull' },
    type: 'kubernetes.io/dockerconfigjson',
    stringData: { '.dockerconfigjson': JSON.stringify(config) },
  });

  const running = stack.move();
  return {
    blobReaders: async () => {
      const reads = await registries.of(auth).blobReads();
      return new Set(reads.map(({ client }) => client).filter((client) => client !== outside.address));
    },
    agent,
    tierAddress: network.hub.address,
    createPod: async (name, imagePullSecrets) => {
      const image = `${REGISTRY}/${images.debian}`;
      const container = { name: 'main', image, imagePullPolicy: 'Always', command: ['/bin/sleep', 'infinity'] };
      const spec = {
        nodeName: node.name,
        hostNetwork: true,
        automountServiceAccountToken: false,
        enableServiceLinks: false,
        tolerations: [{ operator: 'Exists' }],
        imagePullSecrets,
        containers: [container],
      };
      await kube.create(PODS, { metadata: { name }, spec });
    },
    status: async (name) => (await kube.get<{ status: PodStatus }>(`${PODS}/${name}`)).status,
    [Symbol.asyncDispose]: async () => await running.disposeAsync(),
  };
}

test.for(auths)(
  'of an image from a registry that wants %s a pod with an imagePullSecret starts through agent and tier, one without does not',
  async (auth) => {
    await using cluster = await startCluster(auth);
    const { agent } = cluster;
    await cluster.createPod('private', [{ name: 'pull' }]);
    await expect.poll(async () => (await cluster.status('private')).phase, { timeout: 60_000 }).toBe('Running');
    expect(await cluster.blobReaders()).toEqual(new Set([cluster.tierAddress]));
    expect((await agent.metrics()).sum('circ_served_bytes_total')).toBeGreaterThan(1e6);

    await cluster.createPod('stranger', []);
    const waiting = async () => (await cluster.status('stranger')).containerStatuses?.[0]?.state.waiting?.reason;
    await expect.poll(waiting, { timeout: 60_000 }).toMatch(/^(ErrImagePull|ImagePullBackOff)$/);
    expect((await cluster.status('stranger')).phase).toBe('Pending');
  },
);
