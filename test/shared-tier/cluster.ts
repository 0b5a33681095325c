import { createOciServer } from '../../service/oci-server.ts';
import { KubernetesLeaseApi } from '../../shared-tier/leases/kubernetes-lease-api.ts';
import { Seal } from '../../shared-tier/seal.ts';
import { type ReadClaims, SignedReads } from '../../shared-tier/signed-reads.ts';
import { tierSource } from '../../shared-tier/tier-source.ts';
import { severable } from '../contracts/leases.ts';
import { type TestLeaseApi, startLeaseApi } from '../support/lease-api.ts';
import { type Origin, startOrigin } from '../support/origin.ts';
import { MASTER_KEY, REGISTRY, type TierOptions, tierOf } from './fixtures.ts';

export type Tier = Awaited<ReturnType<typeof tierOf>>;

/** One of several shared tiers that share an origin, a Kubernetes API and the master key. Each has a store of its own. */
export interface TierReplica extends Tier {
  readonly name: string;
  readonly port: number;
  /** Cuts it off from the Kubernetes API, or ends that. */
  sever(isSevered: boolean): void;
  /** What others are told of where it is; `undefined`: the truth. */
  pretendToBeAt(address: string | undefined): void;
  /** Ends it as a power cut does: its lease stays, its connections break, its fetches go no further. */
  kill(): Promise<void>;
}

export interface Cluster extends AsyncDisposable {
  readonly origin: Origin;
  readonly kubernetes: TestLeaseApi;
  readonly replicas: readonly TierReplica[];
  replica(index: number): TierReplica;
}

export async function clusterOf(
  count: number,
  { durationMs = 15_000, ...options }: TierOptions & { durationMs?: number } = {},
): Promise<Cluster> {
  await using stack = new AsyncDisposableStack();
  const origin = stack.use(await startOrigin());
  const kubernetes = stack.use(await startLeaseApi());
  const replicas: TierReplica[] = [];
  for (let index = 0; index < count; index += 1) {
    replicas.push(stack.use(await replicaOf(`replica-${index}`, { origin, kubernetes, durationMs, options })));
  }
  const running = stack.move();
  return {
    origin,
    kubernetes,
    replicas,
    replica: (index) => {
      const replica = replicas[index];
      if (!replica) throw new Error(`there is no replica ${index}`);
      return replica;
    },
    [Symbol.asyncDispose]: async () => await running.disposeAsync(),
  };
}

async function replicaOf(
  name: string,
  {
    origin,
    kubernetes,
    durationMs,
    options,
  }: { origin: Origin; kubernetes: TestLeaseApi; durationMs: number; options: TierOptions },
): Promise<TierReplica> {
  const stack = new AsyncDisposableStack();
  const client = stack.use(kubernetes.client());
  const { api, sever } = severable(
    new KubernetesLeaseApi({ api: client, namespace: kubernetes.namespace, report: () => undefined }),
  );
  let address = '';
  let pretended: string | undefined;
  const holder = () => ({ identity: name, address: pretended ?? address, storeId: 'store' });
  const tier = stack.use(await tierOf({ [REGISTRY]: origin }, { ...options, leases: { api, holder, durationMs } }));
  const app = createOciServer({
    source: tierSource(tier.images, tier.access),
    names: { default: REGISTRY, isListed: () => false },
    report: () => undefined,
  });
  new SignedReads({
    images: tier.images,
    seal: new Seal<ReadClaims>(MASTER_KEY, 'read'),
    advertise: () => address,
    events: { sent: () => undefined, ended: () => undefined },
  }).register(app);
  stack.defer(() => app.close());
  address = (await app.listen({ host: '127.0.0.1', port: 0 })).replace('http://', '');
  return {
    ...tier,
    name,
    port: Number(address.split(':').at(-1)),
    sever,
    pretendToBeAt: (other) => {
      pretended = other;
    },
    kill: async () => {
      sever(true);
      app.server.closeAllConnections();
      await app.close();
      await tier.fetches[Symbol.asyncDispose]();
    },
    [Symbol.asyncDispose]: async () => await stack.disposeAsync(),
  };
}
