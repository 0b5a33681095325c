import { randomUUID } from 'node:crypto';
import { mkdir, mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { KubeApi } from '../../scripts/lab/kube-api.ts';
import { logsDir } from '../../scripts/lab/paths.ts';
import { KubernetesApi } from '../../shared-tier/kubernetes/api.ts';
import { KubernetesLeaseApi, type LeaseResult, type LeaseVerb } from '../../shared-tier/leases/kubernetes-lease-api.ts';
import { holderOf, leaseApiContract } from '../contracts/lease-api.ts';
import { leaseOf, leasesContract, replicaOf } from '../contracts/leases.ts';

const DURATION_MS = 1_000;
const USER = 'circ-tier';

let kube: KubeApi;
let tier: KubernetesApi;
const stack = new AsyncDisposableStack();

beforeAll(async () => {
  await mkdir(logsDir, { recursive: true });
  const directory = await mkdtemp(join(tmpdir(), 'circ-e2e-'));
  stack.defer(async () => await rm(directory, { recursive: true }));
  const logs = await mkdtemp(join(logsDir, 'leases-'));
  kube = stack.use(await KubeApi.start({ directory, logs }));
  const person = await kube.pki.issue('tier', `/CN=${USER}`);
  tier = stack.use(new KubernetesApi());
  tier.loadFromString(await kube.pki.kubeconfig(kube.url, person));
}, 120_000);

afterAll(async () => await stack.disposeAsync());

/** A namespace of its own in which the shared tier may do what it needs. */
async function make() {
  const namespace = `circ-${randomUUID()}`;
  await kube.createTierNamespace(namespace, USER);
  const reports: [LeaseVerb, LeaseResult][] = [];
  const client = () =>
    new KubernetesLeaseApi({ api: tier, namespace, report: (verb, result) => reports.push([verb, result]) });
  // A role is known to the authorizer a moment after it was written.
  await expect
    .poll(
      async () =>
        await client()
          .list()
          .catch(() => undefined),
      { timeout: 20_000 },
    )
    .toEqual([]);
  return {
    namespace,
    client,
    reports,
    [Symbol.asyncDispose]: async () => undefined,
  };
}

leaseApiContract('a real Kubernetes API', make);
leasesContract('a real Kubernetes API', { make, durationMs: DURATION_MS });

describe('a real Kubernetes API', () => {
  test('shows a lease as it was written', async () => {
    await using place = await make();
    await place.client().create('circ-a', { holder: holderOf('one'), durationMs: 15_000 });
    const path = `/apis/coordination.k8s.io/v1/namespaces/${place.namespace}/leases/circ-a`;
    const lease = await kube.get<{ metadata: object; spec: object }>(path);
    expect(lease.metadata).toMatchObject({
      labels: { 'app.kubernetes.io/name': 'circ', 'app.kubernetes.io/component': 'fetch' },
      annotations: { 'circ/holder-address': 'one.test:5061', 'circ/store-id': 'store' },
    });
    expect(lease.spec).toMatchObject({ holderIdentity: 'one', leaseDurationSeconds: 15, leaseTransitions: 0 });
  });

  test('says no to a replica outside its namespace, which goes on uncoordinated', async () => {
    const api = new KubernetesLeaseApi({ api: tier, namespace: 'default', report: () => undefined });
    await using one = replicaOf(api, 'one', DURATION_MS);
    const turn = await one.leases.acquire('object');
    const message = 'the Kubernetes API does not let the shared tier create leases in default';
    expect(turn).toMatchObject({ kind: 'uncoordinated', reason: { message } });
  });

  test('that is frozen or restarts neither holds a fetch up nor takes a lease away', async () => {
    await using place = await make();
    await using one = replicaOf(place.client(), 'one', DURATION_MS);
    const lease = leaseOf(await one.leases.acquire('held all the time'));
    const names = async () => (await place.client().list()).map(({ name }) => name);
    const [held] = await names();

    kube.server.signal('SIGSTOP');
    const startedAtMs = performance.now();
    expect((await one.leases.acquire('while it is frozen')).kind).toBe('uncoordinated');
    expect(performance.now() - startedAtMs).toBeLessThan(2_000);
    kube.server.signal('SIGCONT');
    await kube.server.stop('SIGKILL');
    expect((await one.leases.acquire('while it is down')).kind).toBe('uncoordinated');
    await kube.restart();

    const renewals = () => place.reports.filter(([verb, result]) => verb === 'update' && result === 'ok').length;
    const before = renewals();
    await expect.poll(renewals, { timeout: 20_000 }).toBeGreaterThan(before + 1);
    expect(lease.lost.aborted).toBe(false);
    await lease[Symbol.asyncDispose]();
    expect(await names()).not.toContain(held);
    expect((await one.leases.acquire('after it is back')).kind).toBe('acquired');
  });
});
