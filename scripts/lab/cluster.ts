import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { readVersion } from '../../service/version.ts';
import { IMAGE, NAMESPACE, type Values, installChart, uninstallChart } from './chart.ts';
import { buildCircImage } from './circ-image.ts';
import { ensureImages, images } from './images.ts';
import { API_SERVICE, KubeApi } from './kube-api.ts';
import { startControllers } from './kube-controllers.ts';
import { KubeNode, VOLUME } from './kube-node.ts';
import type { Descriptor } from './lab.ts';
import type { Namespace, Network } from './network.ts';
import { type Registry, startRegistry } from './registry.ts';
import { sandboxImage } from './sandbox-image.ts';
import { kubeToolPath } from './kube-tools.ts';
import { type OriginOnSite, REGISTRY, Site } from './site.ts';
import { craneIn } from './crane.ts';
import { until } from './until.ts';
import { VersityGateway } from './versitygw.ts';

const USER = { name: 'puller', password: 's3cret' };
/** bcrypt of the password, with the least work. */
const HTPASSWD = `${USER.name}:$2a$04$RYRewAFrkvJ/KKrJ1lsGfeeCgoyZSGgAwllvTiCrjQHW/y3jSKyUK\n`;
const AUTH = Buffer.from(`${USER.name}:${USER.password}`).toString('base64');
/** Name of the Secret of who may pull. */
export const PULL_SECRET = 'pull';

/** Of the registry that has circ's own image. */
export const OWN_REGISTRY = IMAGE.slice(0, IMAGE.indexOf('/'));

/** What pods' addresses begin with; the next number is the node's. */
export const POD_ADDRESSES = '10.78.';
const PODS = `${POD_ADDRESSES}0.0/16`;

/** What tests change of agents; see the chart's values.yaml. */
export interface AgentValues {
  readonly uninstall?: boolean;
  readonly admit?: 'always' | 'second-request' | 'never';
  readonly nodeSelector?: Readonly<Record<string, string>>;
}

/** A cluster without circ, an origin that wants a password, circ's own image in another registry, and a bucket. */
export interface Cluster extends AsyncDisposable {
  readonly kube: KubeApi;
  readonly network: Network;
  /** The first one has the volume for the shared tier. */
  readonly nodes: readonly [KubeNode, KubeNode, ...KubeNode[]];
  /** The nodes' networks. */
  readonly spaces: readonly Namespace[];
  readonly origin: Registry;
  /** Takes pushes, from everybody. */
  readonly own: OriginOnSite;
  /** Values by which the chart fits this cluster, with one replica and a disk. */
  onDisk(agents?: AgentValues): Values;
  /** The same with so many replicas and a bucket. */
  inBucket(replicas: number, agents?: AgentValues): Values;
  readonly logs: string;
  /** Installs the chart, or brings it to these values, and waits until its pods are ready. */
  install(values: Values): Promise<void>;
  uninstall(): Promise<void>;
  /** Config and layers of an image of the origin. */
  blobs(image: string): Promise<Descriptor[]>;
  /** Runs kubectl as who may do everything. @returns what it prints */
  kubectl(...args: readonly string[]): Promise<string>;
  /** Runs crane where circ's own registry is; it has the password of the origin. */
  crane(...args: readonly string[]): Promise<string>;
}

/** @param nodeCount at least two */
export async function startCluster(nodeCount = 2): Promise<Cluster> {
  await using stack = new AsyncDisposableStack();
  const { directory, logs, network } = stack.use(await Site.start('cluster'));
  const { hub } = network;
  /** Somewhere that pods find. */
  const attach = async (name: string): Promise<Namespace> => {
    const namespace = await network.attach(name);
    await namespace.run(['ip', 'route', 'add', PODS, 'via', hub.address]);
    return namespace;
  };
  const startOrigin = async (name: string, more: { storage: string; readOnly?: boolean; htpasswd?: string }) => {
    const [namespace, place] = [await attach(name), join(directory, name)];
    await mkdir(place);
    const files = { directory: place, logFile: join(logs, `${name}.log`) };
    return { namespace, registry: stack.use(await startRegistry({ namespace, ...files, ...more })) };
  };
  const spaces = [];
  for (let index = 0; index < nodeCount; index += 1) spaces.push(await network.attach(`n${index + 1}`));
  const storage = await ensureImages();
  const { registry: origin } = await startOrigin('origin', { storage, readOnly: true, htpasswd: HTPASSWD });
  const own = await startOrigin('own', { storage: join(directory, 'own-storage') });
  const s3 = await attach('s3');
  const bucket = stack.use(await VersityGateway.start(join(directory, 's3'), join(logs, 's3.log'), s3));

  await mkdir(join(directory, '.docker'));
  const docker = JSON.stringify({ auths: { [origin.address]: { auth: AUTH } } });
  await writeFile(join(directory, '.docker/config.json'), docker);
  const env = { PATH: process.env['PATH'], HOME: directory };
  const crane = craneIn({ namespace: own.namespace, home: directory, timeoutMs: 240_000 });
  const files = join(directory, 'debian.tar');
  await crane('export', `${origin.address}/${images.debian}`, files);
  const sandbox = await sandboxImage(files, directory);
  {
    const tag = `${IMAGE.replace(OWN_REGISTRY, own.registry.address)}:${readVersion()}`;
    await using image = await buildCircImage(`${IMAGE}:${readVersion()}`);
    await crane('push', image.layout, tag);
  }

  await routes(hub, spaces);
  const kube = stack.use(await KubeApi.start({ namespace: hub, directory: join(directory, 'kube'), logs }));
  stack.use(await startControllers(kube, hub, logs));
  const startNode = async (namespace: Namespace, index: number): Promise<KubeNode> => {
    const pods = { subnet: subnetOf(index), nameServer: hub.address };
    const place = join(directory, namespace.name);
    const node = stack.use(await KubeNode.start({ namespace, kube, directory: place, logs, sandbox, pods }));
    await node.configureHosts(serverOnly(origin.address), REGISTRY);
    await node.configureHosts(serverOnly(own.registry.address), OWN_REGISTRY);
    return node;
  };
  const started: KubeNode[] = [];
  for (const [index, space] of spaces.entries()) started.push(await startNode(space, index));
  const [first, second, ...others] = started;
  if (first === undefined || second === undefined) throw new Error('a cluster has two nodes at least');
  await prepare(kube, first, bucket);
  const account = '/api/v1/namespaces/default/serviceaccounts/default';
  await until('the controllers made the default account', async () => (await kube.get(account)) !== undefined);

  const helm = { kubeconfig: kube.kubeconfig, directory, inPlace: (argv: readonly string[]) => hub.command(argv) };
  const endpoints = { [REGISTRY]: origin.address, [OWN_REGISTRY]: own.registry.address };
  const registries = Object.entries(endpoints).map(([name, address]) => [name, { endpoint: `http://${address}` }]);
  const valuesOf = (
    store: object,
    replicas: number,
    { admit = 'second-request', ...agents }: AgentValues = {},
  ): Values => ({
    distribution: 'k3s', // its directory is where this lab's nodes have theirs
    agent: { cache: { minFree: '1%', size: '4GiB', admit }, maxUnavailable: 1, ...agents },
    tier: { replicas, store },
    origins: { config: { registries: Object.fromEntries(registries) as object } },
  });
  const running = stack.move();
  return {
    kube,
    network,
    nodes: [first, second, ...others],
    spaces,
    origin,
    own,
    logs,
    onDisk: (agents) => valuesOf({ size: '2GiB', disk: { volume: '3Gi' } }, 1, agents),
    inBucket: (replicas, agents) => valuesOf(storeIn(bucket), replicas, agents),
    install: async (values) => {
      // Helm 4 leaves fields alone that others have changed, such as the number of replicas, and says so.
      await installChart(values, { ...helm, flags: ['--wait', '--timeout', '120s', '--force-conflicts'] });
    },
    uninstall: async () => await uninstallChart(helm),
    blobs: async (image) => {
      const text = await crane('manifest', `${origin.address}/${image}`);
      const { config, layers } = JSON.parse(text) as { config: Descriptor; layers: Descriptor[] };
      return [config, ...layers];
    },
    kubectl: async (...args) =>
      (await hub.run([kubeToolPath('kubectl'), '--kubeconfig', kube.kubeconfig, ...args], { env })).stdout.trim(),
    crane,
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

/** Values of the chart. */
function storeIn(bucket: VersityGateway): object {
  const { bucket: name, prefix, endpoint, region, pathStyle } = bucket.config('cluster');
  const s3 = {
    bucket: `${name}/${prefix}`,
    endpoint,
    region,
    pathStyle,
    credentialsSecret: 'bucket',
    spoolSize: '1GiB',
  };
  return { type: 's3', size: '2GiB', s3 };
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

/** circ's namespace, a volume for its cache, and the Secrets of who may pull and of the bucket. */
async function prepare(kube: KubeApi, { name }: KubeNode, bucket: VersityGateway): Promise<void> {
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
    metadata: { name: PULL_SECRET },
    type: 'kubernetes.io/dockerconfigjson',
    stringData: { '.dockerconfigjson': JSON.stringify({ auths: { [REGISTRY]: { auth: AUTH } } }) },
  });
  const { accessKeyId, secretAccessKey } = bucket.config('').credentials ?? {};
  await kube.create(`/api/v1/namespaces/${NAMESPACE}/secrets`, {
    metadata: { name: 'bucket' },
    stringData: { AWS_ACCESS_KEY_ID: accessKeyId, AWS_SECRET_ACCESS_KEY: secretAccessKey },
  });
}
