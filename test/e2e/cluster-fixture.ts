import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { onTestFailed, vi } from 'vitest';
import { IMAGE, NAMESPACE } from '../../scripts/lab/chart.ts';
import { buildCircImage } from '../../scripts/lab/circ-image.ts';
import { ensureImages, images } from '../../scripts/lab/images.ts';
import { API_SERVICE, KubeApi } from '../../scripts/lab/kube-api.ts';
import { startControllers } from '../../scripts/lab/kube-controllers.ts';
import { KubeNode, VOLUME } from '../../scripts/lab/kube-node.ts';
import { logTails, REGISTRY } from '../../scripts/lab/lab.ts';
import { type Namespace, Network } from '../../scripts/lab/network.ts';
import { logsDir } from '../../scripts/lab/paths.ts';
import { type Registry, startRegistry } from '../../scripts/lab/registry.ts';
import { sandboxImage } from '../../scripts/lab/sandbox-image.ts';
import { toolPath } from '../../scripts/lab/tools.ts';
import { readVersion } from '../../service/version.ts';

const USER = { name: 'puller', password: 's3cret' };
/** bcrypt of the password, with the least work. */
const HTPASSWD = `${USER.name}:$2a$04$RYRewAFrkvJ/KKrJ1lsGfeeCgoyZSGgAwllvTiCrjQHW/y3jSKyUK\n`;
const AUTH = Buffer.from(`${USER.name}:${USER.password}`).toString('base64');

/** Of the registry that has circ's own image. */
const OWN_REGISTRY = IMAGE.slice(0, IMAGE.indexOf('/'));

/** What pods' addresses begin with; the next number is the node's. */
export const POD_ADDRESSES = '10.78.';
const PODS = `${POD_ADDRESSES}0.0/16`;

/** A cluster of two nodes without circ, an origin that wants a password, and circ's own image in another registry. */
export interface Cluster extends AsyncDisposable {
  readonly kube: KubeApi;
  readonly nodes: readonly [KubeNode, KubeNode];
  /** The nodes' networks. */
  readonly spaces: readonly [Namespace, Namespace];
  readonly origin: Registry;
  /** Values by which the chart fits this cluster. */
  readonly values: Readonly<Record<string, unknown>>;
  readonly directory: string;
  /** Where the API is. */
  readonly hub: Namespace;
}

export async function startCluster(): Promise<Cluster> {
  await mkdir(logsDir, { recursive: true });
  const logs = await mkdtemp(join(logsDir, 'cluster-'));
  onTestFailed(async () => {
    process.stderr.write(await logTails(logs));
  });
  await using stack = new AsyncDisposableStack();
  const directory = await mkdtemp(join(tmpdir(), 'circ-e2e-'));
  stack.defer(async () => await rm(directory, { recursive: true }));
  const network = stack.use(await Network.create());
  const { hub } = network;
  const spaces = [await network.attach('n1'), await network.attach('n2')] as const;
  const registry = async (name: string, more: { storage: string; readOnly?: boolean; htpasswd?: string }) => {
    const namespace = await network.attach(name);
    await namespace.run(['ip', 'route', 'add', PODS, 'via', hub.address]);
    await mkdir(join(directory, name), { recursive: true });
    const files = { directory: join(directory, name), logFile: join(logs, `${name}.log`) };
    return { namespace, server: stack.use(await startRegistry({ namespace, ...files, ...more })) };
  };
  const origin = await registry('origin', { storage: await ensureImages(), readOnly: true, htpasswd: HTPASSWD });
  const own = await registry('own', { storage: join(directory, 'own-storage') });

  await mkdir(join(directory, '.docker'));
  const docker = JSON.stringify({ auths: { [origin.server.address]: { auth: AUTH } } });
  await writeFile(join(directory, '.docker/config.json'), docker);
  const env = { PATH: process.env['PATH'], HOME: directory };
  const files = join(directory, 'debian.tar');
  const from = `${origin.server.address}/${images.debian}`;
  await origin.namespace.run([toolPath('crane'), 'export', from, files], { env });
  const sandbox = await sandboxImage(files, directory);
  {
    const name = IMAGE.replace(OWN_REGISTRY, own.server.address);
    await using image = await buildCircImage(`${IMAGE}:${readVersion()}`);
    await own.namespace.run([toolPath('crane'), 'push', image.layout, `${name}:${readVersion()}`], { env });
  }

  await routes(hub, spaces);
  const kube = stack.use(await KubeApi.start({ namespace: hub, directory: join(directory, 'kube'), logs }));
  stack.use(await startControllers(kube, hub, logs));
  const startNode = async (namespace: Namespace, index: number): Promise<KubeNode> => {
    const pods = { subnet: subnetOf(index), nameServer: hub.address };
    const place = join(directory, namespace.name);
    const node = stack.use(await KubeNode.start({ namespace, kube, directory: place, logs, sandbox, pods }));
    await node.configureHosts(serverOnly(origin.server.address), REGISTRY);
    await node.configureHosts(serverOnly(own.server.address), OWN_REGISTRY);
    return node;
  };
  const nodes = [await startNode(spaces[0], 0), await startNode(spaces[1], 1)] as const;
  await prepare(kube, nodes[0]);
  await made(kube, '/api/v1/namespaces/default/serviceaccounts/default');
  const running = stack.move();
  return {
    kube,
    nodes,
    spaces,
    origin: origin.server,
    directory,
    hub,
    values: {
      distribution: 'k3s', // its directory is where this lab's nodes have theirs
      agent: { cache: { minFree: '1%', size: '2GiB' }, maxUnavailable: 1 },
      tier: { store: { size: '2GiB', disk: { volume: '3Gi' } } },
      origins: {
        config: {
          registries: {
            [REGISTRY]: { endpoint: `http://${origin.server.address}` },
            [OWN_REGISTRY]: { endpoint: `http://${own.server.address}` },
          },
        },
      },
    },
    [Symbol.asyncDispose]: async () => await running.disposeAsync(),
  };
}

/** A hosts.toml that says where a registry is, as an administrator has written it before there was circ. */
function serverOnly(address: string): string {
  return `server = "http://${address}"\n`;
}

function subnetOf(index: number): string {
  return `${POD_ADDRESSES}${index + 1}.0/24`;
}

/** Everybody reaches pods through the hub, where the API's Service is too. */
async function routes(hub: Namespace, nodes: readonly Namespace[]): Promise<void> {
  await hub.run(['ip', 'address', 'add', `${API_SERVICE}/32`, 'dev', 'lo']);
  await hub.run(['sh', '-c', 'echo 1 >/proc/sys/net/ipv4/ip_forward']);
  for (const [index, node] of nodes.entries()) {
    await node.run(['ip', 'route', 'add', 'default', 'via', hub.address]);
    await hub.run(['ip', 'route', 'add', subnetOf(index), 'via', node.address]);
  }
}

/** Waits for an object that the controllers make. */
async function made(kube: KubeApi, path: string): Promise<void> {
  const isThere = async (): Promise<boolean> =>
    await kube.get(path).then(
      () => true,
      () => false,
    );
  await vi.waitUntil(isThere, { timeout: 30_000 });
}

/** circ's namespace, a volume for its cache, and the secret of who may pull. */
async function prepare(kube: KubeApi, { name }: KubeNode): Promise<void> {
  const labels = { 'pod-security.kubernetes.io/enforce': 'privileged' };
  await kube.create('/api/v1/namespaces', { metadata: { name: NAMESPACE, labels } });
  const terms = [{ matchExpressions: [{ key: 'kubernetes.io/hostname', operator: 'In', values: [name] }] }];
  await kube.create('/api/v1/persistentvolumes', {
    metadata: { name: 'volume' },
    spec: {
      capacity: { storage: '3Gi' },
      accessModes: ['ReadWriteOnce'],
      local: { path: VOLUME },
      nodeAffinity: { required: { nodeSelectorTerms: terms } },
    },
  });
  await kube.create('/api/v1/namespaces/default/secrets', {
    metadata: { name: 'pull' },
    type: 'kubernetes.io/dockerconfigjson',
    stringData: { '.dockerconfigjson': JSON.stringify({ auths: { [REGISTRY]: { auth: AUTH } } }) },
  });
}
