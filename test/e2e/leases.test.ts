import { mkdir, mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { CoordinationV1Api, CoreV1Api, RbacAuthorizationV1Api } from '@kubernetes/client-node';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { KubeApi } from '../../scripts/lab/kube-api.ts';
import { logsDir } from '../../scripts/lab/paths.ts';
import { KubernetesApi } from '../../shared-tier/kubernetes/api.ts';
import { KubernetesLeaseApi, type LeaseResult, type LeaseVerb } from '../../shared-tier/leases/kubernetes-lease-api.ts';
import { holderOf, leaseApiContract } from '../contracts/lease-api.ts';
import { leaseOf, leasesContract, replicaOf } from '../contracts/leases.ts';

const DURATION_MS = 1_000;
/** What the shared tier needs, and all that it needs. */
const VERBS = ['get', 'list', 'create', 'update', 'delete'];

let kube: KubeApi;
let tier: KubernetesApi;
const stack = new AsyncDisposableStack();

beforeAll(async () => {
  await mkdir(logsDir, { recursive: true });
  const directory = await mkdtemp(join(tmpdir(), 'circ-e2e-'));
  stack.defer(async () => await rm(directory, { recursive: true }));
  const logs = await mkdtemp(join(logsDir, 'leases-'));
  kube = stack.use(await KubeApi.start({ directory, logs }));
  const person = await kube.pki.issue('tier', '/CN=circ-tier');
  tier = stack.use(new KubernetesApi());
  tier.loadFromString(await kube.pki.kubeconfig(kube.url, person));
}, 120_000);

afterAll(async () => await stack.disposeAsync());

/** A namespace of its own in which the shared tier may do what it needs. */
async function make() {
  const admin = new KubernetesApi({ answerMs: 10_000 });
  admin.loadFromFile(kube.kubeconfig);
  const made = await admin.makeApiClient(CoreV1Api).createNamespace({ body: { metadata: { generateName: 'circ-' } } });
  const namespace = made.metadata?.name ?? '';
  const roles = admin.makeApiClient(RbacAuthorizationV1Api);
  const rules = [{ apiGroups: ['coordination.k8s.io'], resources: ['leases'], verbs: VERBS }];
  const roleRef = { apiGroup: 'rbac.authorization.k8s.io', kind: 'Role', name: 'circ' };
  const subjects = [{ apiGroup: 'rbac.authorization.k8s.io', kind: 'User', name: 'circ-tier' }];
  await roles.createNamespacedRole({ namespace, body: { metadata: { name: 'circ' }, rules } });
  await roles.createNamespacedRoleBinding({ namespace, body: { metadata: { name: 'circ' }, roleRef, subjects } });
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
    leases: admin.makeApiClient(CoordinationV1Api),
    [Symbol.asyncDispose]: async () => await admin[Symbol.asyncDispose](),
  };
}

leaseApiContract('a real Kubernetes API', make);
leasesContract('a real Kubernetes API', { make, durationMs: DURATION_MS });

describe('a real Kubernetes API', () => {
  test('shows a lease as it was written', async () => {
    await using place = await make();
    await place.client().create('circ-a', { holder: holderOf('one'), durationMs: 15_000 });
    const lease = await place.leases.readNamespacedLease({ name: 'circ-a', namespace: place.namespace });
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
