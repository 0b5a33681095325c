import { copyFile, mkdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { buildOnce } from './build-once.ts';
import { cacheDir } from './paths.ts';
import { run } from './run.ts';

/** Kubernetes' own libraries have the same minor and patch version, after v0. */
const KUBERNETES = 'v1.36.3';
const LIBRARIES = KUBERNETES.replace('v1.', 'v0.');
const ETCD = 'v3.6.16';

/** Programs of a Kubernetes cluster, each in the version given here, and what they are built from. */
const tools = {
  etcd: { module: 'go.etcd.io/etcd/server/v3', package: 'go.etcd.io/etcd/server/v3', version: ETCD },
  'kube-apiserver': {
    module: 'k8s.io/kubernetes',
    package: 'k8s.io/kubernetes/cmd/kube-apiserver',
    version: KUBERNETES,
  },
  'kube-controller-manager': {
    module: 'k8s.io/kubernetes',
    package: 'k8s.io/kubernetes/cmd/kube-controller-manager',
    version: KUBERNETES,
  },
  'kube-scheduler': {
    module: 'k8s.io/kubernetes',
    package: 'k8s.io/kubernetes/cmd/kube-scheduler',
    version: KUBERNETES,
  },
  kubelet: { module: 'k8s.io/kubernetes', package: 'k8s.io/kubernetes/cmd/kubelet', version: KUBERNETES },
  kubectl: { module: 'k8s.io/kubernetes', package: 'k8s.io/kubernetes/cmd/kubectl', version: KUBERNETES },
} as const;

export type KubeTool = keyof typeof tools;

const binDir = join(cacheDir, 'bin');

/** The whole of Kubernetes is compiled, on two cores. */
const BUILD_MS = 30 * 60_000;

/** Where the built program lies. Another version has another name, so a changed table builds anew. */
export function kubeToolPath(tool: KubeTool): string {
  return join(binDir, `${tool}-${tools[tool].version}`);
}

/** Builds what is not there yet; `say` gets a line before each build and one after it. */
export async function buildKubeTools(say: (line: string) => void): Promise<void> {
  await mkdir(binDir, { recursive: true });
  for (const [name, tool] of Object.entries(tools)) {
    const target = join(binDir, `${name}-${tool.version}`);
    await buildOnce(target, `${tool.package}@${tool.version}`, say, async (scratch) => {
      await prepareModule(scratch, tool.module, tool.version);
      await go(scratch, 'build', '-trimpath', '-ldflags', flagsOf(tool.version), '-o', 'built', tool.package);
    });
  }
}

/**
 * A module from whose directory the program can be built: `go install` refuses both, because their modules have
 * replacements. Those of Kubernetes stand for its libraries, which lie beside it in its repository and are published
 * under versions of their own.
 */
async function prepareModule(scratch: string, module: string, version: string): Promise<void> {
  await go(scratch, 'mod', 'init', 'lab');
  if (module !== 'k8s.io/kubernetes') {
    await go(scratch, 'get', `${module}@${version}`);
    return;
  }
  const { Dir: source } = JSON.parse(await go(scratch, 'mod', 'download', '-json', `${module}@${version}`)) as {
    Dir: string;
  };
  const its = await readFile(join(source, 'go.mod'), 'utf8');
  const requires = (its.match(/^require \([^)]*^\)/gm) ?? [])
    .join('\n')
    .replaceAll(/(k8s\.io\/[a-z-]+) v0\.0\.0$/gm, `$1 ${LIBRARIES}`);
  const replaces = [...its.matchAll(/(k8s\.io\/[a-z-]+) => \.\/staging/g)].map(
    ([, name]) => `\t${name} => ${name} ${LIBRARIES}`,
  );
  const lines = [
    'module lab',
    its.match(/^go .*$/m)?.[0] ?? '',
    ...(its.match(/^godebug [^(].*$/gm) ?? []),
    `require ${module} ${version}`,
    requires,
    'replace (',
    ...new Set(replaces),
    ')',
  ];
  await writeFile(join(scratch, 'go.mod'), `${lines.join('\n')}\n`);
  await copyFile(join(source, 'go.sum'), join(scratch, 'go.sum'));
}

/** Without debug information; Kubernetes is told its version here, and serves no API without one. */
function flagsOf(version: string): string {
  const [major = '', minor = ''] = version.slice(1).split('.');
  const facts = { gitVersion: version, gitMajor: major, gitMinor: minor, gitTreeState: 'clean' };
  const told = ['k8s.io/component-base/version', 'k8s.io/client-go/pkg/version'].flatMap((name) =>
    Object.entries(facts).map(([fact, value]) => `-X ${name}.${fact}=${value}`),
  );
  return ['-s', '-w', ...told].join(' ');
}

async function go(scratch: string, ...args: readonly string[]): Promise<string> {
  const env = { ...process.env, CGO_ENABLED: '0', GOFLAGS: '-mod=mod' };
  return (await run(['go', ...args], { timeoutMs: BUILD_MS, env, cwd: scratch })).stdout;
}
