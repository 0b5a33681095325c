import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { expect, onTestFailed, test } from 'vitest';
import type { Program } from '../../scripts/lab/circ.ts';
import { hostsToml } from '../../scripts/lab/containerd.ts';
import { ensureImages, images } from '../../scripts/lab/images.ts';
import { KubeNode } from '../../scripts/lab/kube-node.ts';
import { AGENT_URL, logTails, REGISTRY } from '../../scripts/lab/lab.ts';
import type { Registry } from '../../scripts/lab/registry.ts';
import { sandboxImage } from '../../scripts/lab/sandbox-image.ts';
import { Site } from '../../scripts/lab/site.ts';
import { toolPath } from '../../scripts/lab/tools.ts';

const USER = { name: 'puller', password: 's3cret' };
/** bcrypt of the password, with the least work. */
const HTPASSWD = `${USER.name}:$2a$04$RYRewAFrkvJ/KKrJ1lsGfeeCgoyZSGgAwllvTiCrjQHW/y3jSKyUK\n`;
const PODS = '/api/v1/namespaces/default/pods';

test('a pod with an imagePullSecret starts from a private image that comes through agent and shared tier', async () => {
  await using lab = await startCluster();
  await lab.createPod('private', [{ name: 'pull' }]);
  await expect.poll(async () => (await lab.status('private')).phase, { timeout: 60_000 }).toBe('Running');
  const clients = (await lab.origin.blobReads()).map(({ client }) => client);
  expect(clients).toContain(lab.tierAddress);
  expect(clients).not.toContain(lab.nodeAddress);
  expect((await lab.agent.metrics()).sum('circ_served_bytes_total')).toBeGreaterThan(1e6);
});

test('a pod without the secret does not start, though the image is in the cache', async () => {
  await using lab = await startCluster();
  await lab.createPod('private', [{ name: 'pull' }]);
  await expect.poll(async () => (await lab.status('private')).phase, { timeout: 60_000 }).toBe('Running');
  await lab.createPod('stranger', []);
  const waiting = async () => (await lab.status('stranger')).containerStatuses?.[0]?.state.waiting?.reason;
  await expect.poll(waiting, { timeout: 60_000 }).toMatch(/^(ErrImagePull|ImagePullBackOff)$/);
  expect((await lab.status('stranger')).phase).toBe('Pending');
});

interface PodStatus {
  readonly phase: string;
  readonly containerStatuses?: readonly { readonly state: { readonly waiting?: { readonly reason: string } } }[];
}

interface Cluster extends AsyncDisposable {
  readonly origin: Registry;
  readonly agent: Program;
  readonly tierAddress: string;
  readonly nodeAddress: string;
  /** A pod of the Debian image on the node. */
  createPod(name: string, imagePullSecrets: readonly { name: string }[]): Promise<void>;
  status(name: string): Promise<PodStatus>;
}

/** A Kubernetes API, a node with kubelet and agent, a shared tier, and an origin that wants a password. */
async function startCluster(): Promise<Cluster> {
  await using stack = new AsyncDisposableStack();
  const site = stack.use(
    await Site.start({ name: 'kubelet', storage: async () => await ensureImages(), htpasswd: HTPASSWD }),
  );
  const { network, originNode, origin, directory, logs } = site;
  onTestFailed(async () => {
    process.stderr.write(await logTails(logs));
  });
  const namespace = await network.attach('node');
  const auth = Buffer.from(`${USER.name}:${USER.password}`).toString('base64');
  await mkdir(join(directory, '.docker'));
  await writeFile(join(directory, '.docker/config.json'), JSON.stringify({ auths: { [origin.address]: { auth } } }));
  const files = join(directory, 'debian.tar');
  const env = { PATH: process.env['PATH'], HOME: directory };
  await originNode.run([toolPath('crane'), 'export', `${origin.address}/${images.debian}`, files], { env });
  const sandbox = await sandboxImage(files, directory);

  stack.use(await site.tier({ namespace: network.hub, name: 'tier' }));
  const agent = stack.use(await site.agent(network.hub, { namespace, name: 'agent' }));
  const kube = await site.kubernetes();
  const node = stack.use(await KubeNode.start({ namespace, kube, directory: join(directory, 'node'), logs, sandbox }));
  await node.configureHosts(hostsToml(AGENT_URL));
  await kube.create('/api/v1/namespaces/default/serviceaccounts', { metadata: { name: 'default' } });
  const config = JSON.stringify({ auths: { [REGISTRY]: { auth } } });
  await kube.create('/api/v1/namespaces/default/secrets', {
    metadata: { name: 'pull' },
    type: 'kubernetes.io/dockerconfigjson',
    stringData: { '.dockerconfigjson': config },
  });

  const running = stack.move();
  return {
    origin,
    agent,
    tierAddress: network.hub.address,
    nodeAddress: namespace.address,
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
