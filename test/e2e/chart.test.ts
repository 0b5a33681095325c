import { once } from 'node:events';
import { readFile } from 'node:fs/promises';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { connect, createServer } from 'node:tls';
import { describe, expect, test } from 'vitest';
import {
  CHART,
  FOR_KUBERNETES,
  type Helm,
  IMAGE,
  type KubeObject,
  RENDERED,
  chartObjects,
  objectsIn,
  renderChart,
  renderManifest,
} from '../../scripts/lab/chart.ts';
import { run } from '../../scripts/lab/run.ts';
import { toolPath } from '../../scripts/lab/tools.ts';
import { AGENT_VARIABLES } from '../../agent/config.ts';
import { type Env, Problems, type Variable, readEnv } from '../../service/env.ts';
import { listedRegistry, originsFile } from '../../service/origins-file.ts';
import { TIER_VARIABLES } from '../../shared-tier/config.ts';
import { VALUE_SETS, WRONG_VALUES } from './chart-values.ts';

interface Container {
  readonly env: readonly { readonly name: string; readonly value?: string }[];
  readonly startupProbe: { readonly periodSeconds: number; readonly failureThreshold: number };
}
interface Workload extends KubeObject {
  readonly spec: { readonly template: { readonly spec: { readonly containers: readonly [Container] } } };
}

interface PolicySpec {
  readonly ingress: readonly {
    readonly ports: readonly { readonly port: string }[];
    readonly from?: readonly {
      readonly ipBlock?: { readonly cidr: string };
      readonly podSelector?: { readonly matchLabels: Readonly<Record<string, string>> };
    }[];
  }[];
}

const NAME = 'app.kubernetes.io/name';

const DIRECTORIES = {
  containerd: '/etc/containerd/certs.d',
  kind: '/etc/containerd/certs.d',
  k3s: '/var/lib/rancher/k3s/agent/etc/containerd/certs.d',
  rke2: '/var/lib/rancher/rke2/agent/etc/containerd/certs.d',
  eks: '/etc/containerd/certs.d',
  gke: '/etc/containerd/hosts.d',
  aks: '/etc/containerd/certs.d',
  talos: '/etc/cri/conf.d/hosts',
};

const HELMS: readonly Helm[] = ['helm-3', 'helm'];

function workload(objects: readonly KubeObject[], kind: 'DaemonSet' | 'Deployment'): Workload {
  return objects.find((object) => object.kind === kind) as Workload;
}

function variables(object: Workload): Record<string, string> {
  const [container] = object.spec.template.spec.containers;
  return Object.fromEntries(container.env.map(({ name, value = '' }) => [name, value]));
}

/** An object without what is made by chance each time: keys and certificates, of which the names remain. */
function alike(object: KubeObject & { data?: object }): object {
  return object.kind === 'Secret' ? { ...object, data: Object.keys(object.data ?? {}) } : object;
}

/** Kinds and names of the objects in a plain manifest. */
async function names(file: string): Promise<string[]> {
  return objectsIn(await readFile(`manifests/${file}`, 'utf8')).map(({ kind, metadata }) => `${kind} ${metadata.name}`);
}

test.each(HELMS)('%s finds nothing to say against the chart', async (helm) => {
  const argv = [toolPath(helm), 'lint', '--strict', CHART, '--set', `image.repository=${IMAGE}`, ...FOR_KUBERNETES];
  expect((await run(argv)).stdout).toContain('0 chart(s) failed');
});

test.each(Object.entries(VALUE_SETS))('Helm 3 makes the same of the chart as Helm 4, with %s', async (_, values) => {
  const [three, four] = await Promise.all(HELMS.map(async (helm) => (await chartObjects(values, { helm })).map(alike)));
  expect(three?.length).toBeGreaterThan(7);
  expect(three).toEqual(four);
});

test.each(Object.entries(WRONG_VALUES))('Helm 3 refuses %s too', async (_, [values, words]) => {
  await expect(renderChart(values, { helm: 'helm-3' })).rejects.toThrow(words);
});

test.each(Object.entries(VALUE_SETS))(
  'the chart takes %s, and the programs every variable that it sets, on nodes of IPv4 and of IPv6',
  async (_, values) => {
    const objects = await chartObjects(values);
    const known = { DaemonSet: AGENT_VARIABLES, Deployment: TIER_VARIABLES };
    for (const kind of ['DaemonSet', 'Deployment'] as const) {
      const { HOST_IP: _itself, ...set } = variables(workload(objects, kind));
      expect(Object.keys(known[kind])).toEqual(expect.arrayContaining(Object.keys(set)));
      for (const address of ['10.0.0.1', 'fd00::1']) {
        const env = Object.entries(set).map(([name, value]) => [name, value.replaceAll('$(HOST_IP)', address)]);
        const problems = new Problems();
        readEnv<Record<string, Variable<unknown>>>(known[kind], Object.fromEntries(env) as Env, problems);
        expect(() => problems.throwIfAny()).not.toThrow();
      }
    }
  },
);

test.each(Object.entries(WRONG_VALUES))('the chart refuses %s, and says what is wrong', async (_, [values, words]) => {
  await expect(renderChart(values)).rejects.toThrow(words);
});

test('the chart knows the keys of the origins file, all of them', async () => {
  interface Schema {
    readonly properties: Readonly<Record<string, Schema>>;
    readonly additionalProperties: Schema;
  }
  const schema = JSON.parse(await readFile(join(CHART, 'values.schema.json'), 'utf8')) as Schema;
  const config = schema.properties['origins']?.properties['config'];
  expect(Object.keys(config?.properties ?? {}).toSorted()).toEqual(Object.keys(originsFile.shape).toSorted());
  const registry = config?.properties['registries']?.additionalProperties;
  expect(Object.keys(registry?.properties ?? {}).toSorted()).toEqual(Object.keys(listedRegistry.shape).toSorted());
});

test.each(Object.entries(DIRECTORIES))(
  'on %s the agent keeps the hosts.toml files below %s',
  async (distribution, directory) => {
    const agent = workload(await chartObjects({ distribution }), 'DaemonSet');
    expect(variables(agent)['CIRC_CONTAINERD_CERTS_DIR']).toBe(directory);
    expect(agent.spec.template.spec).toMatchObject({
      volumes: expect.arrayContaining([
        { name: 'certs', hostPath: { path: directory, type: 'DirectoryOrCreate' } },
      ]) as unknown,
    });
  },
);

test.each([
  ['whoever reaches them', [], undefined],
  ['nodes and other replicas alone', ['10.0.0.0/8', 'fd00::/8'], ['10.0.0.0/8', 'fd00::/8', 'circ']],
])('the policy lets %s come to the shared tier’s gRPC and HTTP, with nodeCidrs %j', async (_, nodeCidrs, expected) => {
  const objects = await chartObjects({ networkPolicy: { nodeCidrs } }, { templates: ['policies.yaml'] });
  const { spec } = objects.find(({ kind }) => kind === 'NetworkPolicy') as KubeObject & { spec: PolicySpec };
  const rule = spec.ingress.find(({ ports }) => ports.some(({ port }) => port === 'grpc'));
  expect(rule?.ports).toEqual([{ port: 'grpc' }, { port: 'http' }]);
  // A rule without peers is for all, also for those that a network's addresses do not name.
  expect(rule?.from?.map(({ ipBlock, podSelector }) => ipBlock?.cidr ?? podSelector?.matchLabels[NAME])).toEqual(
    expected,
  );
});

test.each(['DaemonSet', 'Deployment'] as const)('a %s has the time to look through a large cache', async (kind) => {
  const [{ startupProbe }] = workload(await chartObjects({}), kind).spec.template.spec.containers;
  expect(startupProbe.periodSeconds * startupProbe.failureThreshold).toBeGreaterThanOrEqual(300);
});

test('an agent believes the certificate that is generated, for the name by which it comes', async () => {
  const secrets = await chartObjects({}, { templates: ['secrets.yaml'] });
  const { data } = secrets.find(({ metadata }) => metadata.name === 'circ-shared-tier-tls') as KubeObject & {
    data: Record<string, string>;
  };
  const pem = (name: string): Buffer => Buffer.from(data[name] ?? '', 'base64');
  const server = createServer({ cert: pem('tls.crt'), key: pem('tls.key') });
  await once(server.listen(0, '127.0.0.1'), 'listening');
  const { port } = server.address() as AddressInfo;
  const socket = connect({ port, host: '127.0.0.1', ca: pem('ca.crt'), servername: 'circ-shared-tier.circ.svc' });
  try {
    await once(socket, 'secureConnect');
    expect(socket.authorized).toBe(true);
  } finally {
    socket.destroy();
    server.close();
  }
});

describe('the plain manifests', () => {
  test.each(Object.entries(RENDERED))('%s is what the chart makes', async (name, rendered) => {
    const [stamp = '', ...lines] = (await readFile(`manifests/${name}`, 'utf8')).split(/(?<=\n)/);
    expect(stamp).toMatch(/^# Rendered by npm run manifests /);
    expect(lines.join('')).toBe(await renderManifest(rendered));
  });

  test('uninstall.yaml replaces the agents of install.yaml and nothing else', async () => {
    expect(await names('uninstall.yaml')).toEqual(['ServiceAccount circ-agent', 'DaemonSet circ-agent']);
    expect(await names('install.yaml')).toEqual(expect.arrayContaining(['Namespace circ', 'DaemonSet circ-agent']));
  });
});
