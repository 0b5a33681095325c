import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { parseAllDocuments } from 'yaml';
import { repositoryRoot } from './paths.ts';
import { run } from './run.ts';
import { type Tool, toolPath } from './tools.ts';

/** Those that people have; the newest is what is used where it does not matter. */
export type Helm = Extract<Tool, `helm${string}`>;

/** Bound of one helm that may wait for a rollout. */
const HELM_MS = 240_000;

export const CHART = join(repositoryRoot, 'manifests/circ');

/** Release, namespace and image of everything that is rendered from the chart. */
export const RELEASE = 'circ';
export const NAMESPACE = 'circ';
export const IMAGE = 'registry.example/circ';

/** Which Kubernetes a chart is for, to commands that ask none: Helm 3 takes a very old one if it is built like ours. */
export const FOR_KUBERNETES = ['--kube-version', '1.36'] as const;

/** A Kubernetes object, as far as all of them are alike. */
export interface KubeObject {
  readonly apiVersion: string;
  readonly kind: string;
  readonly metadata: { readonly name: string; readonly namespace?: string };
}

const CLUSTER_WIDE = /^(Namespace|ClusterRole|ClusterRoleBinding|PriorityClass|FlowSchema|CustomResourceDefinition)$/;

/** Where objects of this kind are created. Source: https://kubernetes.io/docs/reference/using-api/api-concepts/ */
export function collectionOf({ apiVersion, kind, metadata }: KubeObject, namespace = metadata.namespace): string {
  const group = apiVersion === 'v1' ? '/api/v1' : `/apis/${apiVersion}`;
  const plural = kind.toLowerCase().replace(/y$/, 'ie').replace(/s$/, 'se') + 's';
  if (CLUSTER_WIDE.test(kind)) return `${group}/${plural}`;
  return `${group}/namespaces/${namespace}/${plural}`;
}

export type Values = Readonly<Record<string, unknown>>;

export interface RenderOptions {
  /** Default: all. */
  readonly templates?: readonly string[];
  readonly helm?: Helm;
}

/** Renders the chart's templates with these values, or some of the templates. @throws what helm says of wrong values */
export async function renderChart(
  values: Values,
  { templates = [], helm = 'helm' }: RenderOptions = {},
): Promise<string> {
  const only = templates.flatMap((template) => ['--show-only', `templates/${template}`]);
  const sets = Object.entries({ image: { repository: IMAGE }, ...values }).flatMap(([name, value]) => {
    return ['--set-json', `${name}=${JSON.stringify(value)}`];
  });
  const argv = [
    toolPath(helm),
    'template',
    RELEASE,
    CHART,
    '--namespace',
    NAMESPACE,
    ...FOR_KUBERNETES,
    ...sets,
    ...only,
  ];
  return (await run(argv)).stdout;
}

/** The same as objects, in the order of the templates. */
export async function chartObjects(values: Values, options: RenderOptions = {}): Promise<KubeObject[]> {
  return objectsIn(await renderChart(values, options));
}

/** The objects of a text of YAML documents. @throws if one of them is no YAML */
export function objectsIn(text: string): KubeObject[] {
  return parseAllDocuments(text).flatMap((document) => {
    if (document.errors[0]) throw document.errors[0];
    return (document.toJS() as KubeObject | null) ?? [];
  });
}

/** Secrets that can be in no file: the user makes them first (docs/install.md). */
const PLAIN = { tls: { mode: 'secret', secret: 'circ-tls' }, tier: { keySecret: 'circ-key' } };

interface Rendered {
  readonly intro: string;
  readonly values: Values;
  readonly templates?: readonly string[];
}

/** Plain manifests that lie in the repository, by file name. */
export const RENDERED: Readonly<Record<string, Rendered>> = {
  'install.yaml': {
    intro: `# circ with one replica of the shared tier and a disk. First: docs/install.md, "Without Helm".
apiVersion: v1
kind: Namespace
metadata:
  name: ${NAMESPACE}
  labels:
    # The agents need the host's network and a host's directory each for cache and hosts.toml.
    pod-security.kubernetes.io/enforce: privileged
`,
    values: PLAIN,
  },
  'uninstall.yaml': {
    intro: `# Takes circ's lines out of every node's hosts.toml; the step before kubectl delete -f install.yaml.\n`,
    values: { ...PLAIN, agent: { uninstall: true } },
    templates: ['agent.yaml'],
  },
};

export async function renderManifest({ intro, values, templates = [] }: Rendered): Promise<string> {
  return `${intro}${await renderChart(values, { templates })}`;
}

/** What else helm is to be told. */
export interface HelmOptions {
  readonly kubeconfig: string;
  /** For the values' file. */
  readonly directory: string;
  /** The way to the API, if it is not in this process' network. */
  readonly inPlace?: (argv: readonly string[]) => readonly string[];
  readonly flags?: readonly string[];
  readonly helm?: Helm;
}

/** Installs the chart, or brings it to these values. @returns what helm tells the user */
export async function installChart(
  values: Values,
  { kubeconfig, directory, inPlace = (argv) => argv, flags = [], helm = 'helm' }: HelmOptions,
): Promise<string> {
  const file = join(directory, 'values.json');
  await writeFile(file, JSON.stringify({ image: { repository: IMAGE }, ...values }));
  const where = ['--kubeconfig', kubeconfig, '--namespace', NAMESPACE];
  const argv = [toolPath(helm), 'upgrade', '--install', RELEASE, CHART, ...where, '--values', file, ...flags];
  return (await run(inPlace(argv), { timeoutMs: HELM_MS })).stdout;
}

export async function uninstallChart({
  kubeconfig,
  inPlace = (argv) => argv,
  helm = 'helm',
}: HelmOptions): Promise<void> {
  const where = ['--kubeconfig', kubeconfig, '--namespace', NAMESPACE];
  await run(inPlace([toolPath(helm), 'uninstall', RELEASE, ...where, '--wait']), { timeoutMs: HELM_MS });
}
