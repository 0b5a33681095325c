import { X509Certificate, randomUUID } from 'node:crypto';
import { mkdir, mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import {
  type Helm,
  type KubeObject,
  NAMESPACE,
  RENDERED,
  type Values,
  chartObjects,
  collectionOf,
  installChart,
  objectsIn,
  uninstallChart,
} from '../../scripts/lab/chart.ts';
import { KubeApi } from '../../scripts/lab/kube-api.ts';
import { logsDir } from '../../scripts/lab/paths.ts';
import { run } from '../../scripts/lab/run.ts';
import { VALUE_SETS } from './chart-values.ts';

const DRY = '?dryRun=All&fieldValidation=Strict';
const TIER = 'circ-shared-tier';
const S3 = { tier: { replicas: 2, store: { type: 's3', s3: { bucket: 'images' } } } };
const SECRETS = `/api/v1/namespaces/${NAMESPACE}/secrets`;
const LEASES = '/apis/coordination.k8s.io/v1';

/** An answer of the API. */
interface Called {
  readonly status: number;
  readonly head: string;
  readonly body: string;
}

let kube: KubeApi;
let directory: string;
const stack = new AsyncDisposableStack();

beforeAll(async () => {
  await mkdir(logsDir, { recursive: true });
  directory = await mkdtemp(join(tmpdir(), 'circ-e2e-'));
  stack.defer(async () => await rm(directory, { recursive: true }));
  kube = stack.use(await KubeApi.start({ directory, logs: await mkdtemp(join(logsDir, 'chart-')) }));
  await kube.create('/api/v1/namespaces', { metadata: { name: NAMESPACE } });
}, 120_000);

afterAll(async () => await stack.disposeAsync());

/** Has the API judge objects, as if they were created, by its strictest rules. */
async function judge(objects: readonly KubeObject[]): Promise<void> {
  for (const object of objects) await kube.create(collectionOf(object) + DRY, object);
}

/** What the API says to the pod of a workload in a namespace of this level. */
async function verdict(kind: 'DaemonSet' | 'Deployment', level: string, values: Values): Promise<string> {
  const name = `circ-${randomUUID()}`;
  const labels = { 'pod-security.kubernetes.io/enforce': level };
  await kube.create('/api/v1/namespaces', { metadata: { name, labels } });
  const objects = await chartObjects({ ...values, priorityClass: { create: false } });
  const workload = objects.find((object) => object.kind === kind) as KubeObject & {
    spec: { template: { spec: { serviceAccountName: string } } };
  };
  const { spec } = workload.spec.template;
  await kube.create(`/api/v1/namespaces/${name}/serviceaccounts`, { metadata: { name: spec.serviceAccountName } });
  const pod = { metadata: { name: 'pod' }, spec };
  return await kube.create(`/api/v1/namespaces/${name}/pods${DRY}`, pod).then(() => 'taken', String);
}

async function install(values: Values, helm?: Helm): Promise<string> {
  return await installChart(values, { kubeconfig: kube.kubeconfig, directory, ...(helm && { helm }) });
}

async function secret(name: string): Promise<Record<string, string>> {
  return (await kube.get<{ data: Record<string, string> }>(`${SECRETS}/${name}`)).data;
}

/** Kinds of other projects, whose fields are not looked at here. */
function definition(kind: string, group: string): KubeObject & object {
  const plural = `${kind.toLowerCase()}s`;
  const schema = { openAPIV3Schema: { type: 'object', 'x-kubernetes-preserve-unknown-fields': true } };
  return {
    apiVersion: 'apiextensions.k8s.io/v1',
    kind: 'CustomResourceDefinition',
    metadata: { name: `${plural}.${group}` },
    spec: {
      group,
      scope: 'Namespaced',
      names: { kind, plural, singular: kind.toLowerCase() },
      versions: [{ name: 'v1', served: true, storage: true, schema }],
    },
  } as KubeObject;
}

describe('a real Kubernetes API, without any kinds of other projects', () => {
  const own = Object.entries(VALUE_SETS).filter(([, { tls, monitoring }]) => {
    const isMonitored = (monitoring as { enabled?: boolean } | undefined)?.enabled === true;
    return (tls as { mode?: string } | undefined)?.mode !== 'cert-manager' && !isMonitored;
  });

  test.each(own)('takes what the chart makes with %s', async (_, values) => {
    const objects = await chartObjects(values);
    await judge(objects);
    expect(objects.length).toBeGreaterThan(8);
  });

  test.each(Object.keys(RENDERED))('takes the plain %s', async (name) => {
    const objects = objectsIn(await readFile(`manifests/${name}`, 'utf8'));
    await judge(objects.filter(({ kind }) => kind !== 'Namespace'));
    expect(objects.length).toBeGreaterThan(1);
  });

  test('takes it with cert-manager and Prometheus once their kinds are there, and not before', async () => {
    const objects = await chartObjects(VALUE_SETS['cert-manager, Prometheus and Grafana'] ?? {});
    await expect(judge(objects)).rejects.toThrow(/404/);
    const kinds = [
      ...['PodMonitor', 'ServiceMonitor', 'PrometheusRule'].map((kind) => definition(kind, 'monitoring.coreos.com')),
      ...['Certificate', 'Issuer'].map((kind) => definition(kind, 'cert-manager.io')),
    ];
    for (const kind of kinds) await kube.create(collectionOf(kind), kind);
    await expect.poll(async () => await judge(objects).then(() => 'taken', String), { timeout: 20_000 }).toBe('taken');
  });
});

describe('Pod Security', () => {
  test('the shared tier keeps to the strictest level, with a disk and with a bucket', async () => {
    expect(await verdict('Deployment', 'restricted', {})).toBe('taken');
    expect(await verdict('Deployment', 'restricted', S3)).toBe('taken');
  });

  test('the agent needs the level privileged, for nothing but network, directories and port of the host', async () => {
    const refused = await verdict('DaemonSet', 'baseline', {});
    expect(refused).toContain('violates PodSecurity');
    const words = refused.match(/host namespaces|hostPath volumes|hostPort|non-default capabilities|privileged \(/g);
    expect(new Set(words)).toEqual(new Set(['host namespaces', 'hostPath volumes', 'hostPort']));
    expect(await verdict('DaemonSet', 'privileged', {})).toBe('taken');
  });
});

describe('installed by helm', () => {
  test('what was generated stays at an upgrade, and the certificate is a new one for new names', async () => {
    await install(S3);
    const [tls, key] = [await secret(`${TIER}-tls`), await secret(`${TIER}-key`)];
    expect(Object.keys(tls).toSorted()).toEqual(['ca.crt', 'tls.crt', 'tls.key']);
    expect(Buffer.from(key['key'] ?? '', 'base64').length).toBe(32);

    await install({ ...S3, agent: { logLevel: 'debug' } });
    expect(await secret(`${TIER}-tls`)).toEqual(tls);
    await install({ ...S3, ingress: { enabled: true, host: 'push.example' } });
    expect((await secret(`${TIER}-tls`))['tls.crt']).not.toBe(tls['tls.crt']);
    expect(await secret(`${TIER}-key`)).toEqual(key);
  });

  test('what Helm 3 has installed, Helm 3 and then Helm 4 upgrade', async () => {
    await uninstallChart({ kubeconfig: kube.kubeconfig, directory });
    await install({}, 'helm-3');
    const tls = await secret(`${TIER}-tls`);
    const deployment = `/apis/apps/v1/namespaces/${NAMESPACE}/deployments/${TIER}`;
    for (const [helm, replicas] of [
      ['helm-3', 2],
      ['helm', 3],
    ] as const) {
      await install({ tier: { ...S3.tier, replicas } }, helm);
      expect(await kube.get(deployment)).toMatchObject({ spec: { replicas, strategy: { type: 'RollingUpdate' } } });
      expect(await secret(`${TIER}-tls`)).toEqual(tls);
    }
  });

  test('the user is told that every pod reaches the shared tier, until nodeCidrs says who does', async () => {
    expect(await install(S3)).toContain('set networkPolicy.nodeCidrs to the networks');
    for (const networkPolicy of [{ nodeCidrs: ['10.0.0.0/8'] }, { enabled: false }]) {
      expect(await install({ ...S3, networkPolicy })).not.toContain('nodeCidrs');
    }
  });

  test('the certificate is for the names under which agents and pushers come', async () => {
    await install({ ...S3, ingress: { enabled: true, host: 'push.example' } });
    const pem = Buffer.from((await secret(`${TIER}-tls`))['tls.crt'] ?? '', 'base64');
    const certificate = new X509Certificate(pem);
    for (const host of [`${TIER}.${NAMESPACE}.svc`, 'push.example']) expect(certificate.checkHost(host)).toBe(host);
  });

  test.each([
    ['view', 'get', true],
    ['view', 'post', false],
    ['admin', 'post', true],
  ])('who is bound to the role %s may, or may not, %s at the admin service: %s', async (role, verb, allowed) => {
    await install(S3);
    const [rbac, user] = ['rbac.authorization.k8s.io', `person-${randomUUID()}`];
    await kube.create(`/apis/${rbac}/v1/clusterrolebindings`, {
      metadata: { name: user },
      roleRef: { apiGroup: rbac, kind: 'ClusterRole', name: `circ-${NAMESPACE}-${role}` },
      subjects: [{ apiGroup: rbac, kind: 'User', name: user }],
    });
    const mayThey = async (what: string): Promise<boolean> => {
      const spec = { user, nonResourceAttributes: { path: '/circ.v1.Admin/Evict', verb: what } };
      const path = '/apis/authorization.k8s.io/v1/subjectaccessreviews';
      return (await kube.create<{ status: { allowed: boolean } }>(path, { spec })).status.allowed;
    };
    // A binding is known to the authorizer a moment after it was written.
    await expect.poll(async () => await mayThey('get'), { timeout: 20_000 }).toBe(true);
    expect(await mayThey(verb)).toBe(allowed);
  });

  describe('the shared tier’s account', () => {
    let token: string;

    beforeAll(async () => {
      await install(S3);
      const path = `/api/v1/namespaces/${NAMESPACE}/serviceaccounts/${TIER}/token`;
      const request = { apiVersion: 'authentication.k8s.io/v1', kind: 'TokenRequest', spec: {} };
      token = (await kube.create<{ status: { token: string } }>(path, request)).status.token;
    });

    /** A call of the account. */
    async function call(method: string, path: string, object?: object): Promise<Called> {
      const json = ['-H', 'content-type: application/json', '-d', JSON.stringify(object)];
      const who = ['--cacert', kube.pki.caFile, '-H', `Authorization: Bearer ${token}`];
      const how = ['-sS', '--noproxy', '*', '-m', '10', '-X', method, '-D', '-'];
      const { stdout } = await run(['curl', ...how, ...who, ...(object ? json : []), kube.url + path]);
      const [head = '', body = ''] = stdout.split('\r\n\r\n', 2);
      return { status: Number(/^HTTP\/\S+ (\d+)/.exec(head)?.[1]), head, body };
    }

    test('has the rights it uses, and no other', async () => {
      const review = { spec: { namespace: NAMESPACE } };
      const path = '/apis/authorization.k8s.io/v1/selfsubjectrulesreviews';
      const rights = async (): Promise<string[]> => {
        const { body } = await call('POST', path, review);
        const { status } = JSON.parse(body) as {
          status: { resourceRules: { verbs: string[]; resources: string[] }[] };
        };
        return status.resourceRules
          .flatMap(({ verbs, resources }) =>
            resources.flatMap((resource) => verbs.map((verb) => `${verb} ${resource}`)),
          )
          .filter((right) => !right.includes('selfsubject'))
          .toSorted();
      };
      const leases = ['create', 'delete', 'get', 'list', 'update'].map((verb) => `${verb} leases`);
      const expected = [...leases, 'create subjectaccessreviews', 'create tokenreviews'].toSorted();
      await expect.poll(rights, { timeout: 20_000 }).toEqual(expected);
    });

    test('does what the programs do, and is refused everything beside it', async () => {
      const lease = { metadata: { name: 'circ-a' }, spec: { holderIdentity: 'one', leaseDurationSeconds: 15 } };
      const own = `${LEASES}/namespaces/${NAMESPACE}/leases`;
      await expect.poll(async () => (await call('GET', own)).status, { timeout: 20_000 }).toBe(200);
      expect((await call('POST', own, lease)).status).toBe(201);
      expect((await call('GET', `${own}/circ-a`)).status).toBe(200);
      expect((await call('DELETE', `${own}/circ-a`)).status).toBe(200);
      const token2 = { spec: { token, audiences: ['circ'] } };
      expect((await call('POST', '/apis/authentication.k8s.io/v1/tokenreviews', token2)).status).toBe(201);
      const access = { spec: { user: 'somebody', resourceAttributes: { verb: 'get', resource: 'pods' } } };
      expect((await call('POST', '/apis/authorization.k8s.io/v1/subjectaccessreviews', access)).status).toBe(201);

      expect((await call('GET', `${own}?watch=true&timeoutSeconds=1`)).status).toBe(403);
      expect((await call('DELETE', own)).status).toBe(403);
      for (const path of [
        `${LEASES}/leases`,
        `${LEASES}/namespaces/kube-system/leases`,
        SECRETS,
        `/api/v1/namespaces/${NAMESPACE}/pods`,
        `/api/v1/namespaces/${NAMESPACE}/configmaps`,
        '/api/v1/nodes',
      ]) {
        expect(await call('GET', path)).toMatchObject({ status: 403 });
      }
    });

    test('comes before other pods’ calls at a busy API server', async () => {
      const path = `/apis/flowcontrol.apiserver.k8s.io/v1/flowschemas/${TIER}-${NAMESPACE}`;
      const { metadata } = await kube.get<{ metadata: { uid: string } }>(path);
      const { head } = await call('GET', `${LEASES}/namespaces/${NAMESPACE}/leases`);
      expect(/^x-kubernetes-pf-flowschema-uid: (\S+)/im.exec(head)?.[1]).toBe(metadata.uid);
    });
  });
});
