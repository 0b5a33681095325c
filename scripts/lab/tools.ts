import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { buildOnce } from './build-once.ts';
import { cacheDir } from './paths.ts';
import { run } from './run.ts';

/** A program built from its Go module, always in the version given here. */
interface GoTool {
  readonly package: string;
  readonly version: string;
  readonly tags?: string;
}

const CONTAINERD = 'github.com/containerd/containerd/v2/cmd';
/** Snapshotters of file systems that no lab uses; some of them need C libraries. */
const CONTAINERD_TAGS = 'no_btrfs no_devmapper no_zfs';
/** Prometheus 3.16 has no other number as a module. */
const PROMETHEUS = 'github.com/prometheus/prometheus/cmd';
/** The clouds that it can look for targets in: they are most of it. */
const PROMETHEUS_TAGS = 'remove_all_sd';

const tools = {
  crane: { package: 'github.com/google/go-containerregistry/cmd/crane', version: 'v0.22.1' },
  oras: { package: 'oras.land/oras/cmd/oras', version: 'v1.3.6' },
  registry: { package: 'github.com/distribution/distribution/v3/cmd/registry', version: 'v3.1.2' },
  // Of the branch `main`: the released ones do not know all that the specification has by now.
  conformance: {
    package: 'github.com/opencontainers/distribution-spec/conformance',
    version: 'v0.0.0-20260831232431-97274622c111',
  },
  containerd: { package: `${CONTAINERD}/containerd`, version: 'v2.4.2', tags: CONTAINERD_TAGS },
  ctr: { package: `${CONTAINERD}/ctr`, version: 'v2.4.2', tags: CONTAINERD_TAGS },
  'containerd-shim-runc-v2': { package: `${CONTAINERD}/containerd-shim-runc-v2`, version: 'v2.4.2' },
  'containerd-2.1': { package: `${CONTAINERD}/containerd`, version: 'v2.1.9', tags: CONTAINERD_TAGS },
  'ctr-2.1': { package: `${CONTAINERD}/ctr`, version: 'v2.1.9', tags: CONTAINERD_TAGS },
  buildkitd: { package: 'github.com/moby/buildkit/cmd/buildkitd', version: 'v0.34.2' },
  cosign: { package: 'github.com/sigstore/cosign/v3/cmd/cosign', version: 'v3.1.3' },
  buildctl: { package: 'github.com/moby/buildkit/cmd/buildctl', version: 'v0.34.2' },
  helm: { package: 'helm.sh/helm/v4/cmd/helm', version: 'v4.3.1' },
  'helm-3': { package: 'helm.sh/helm/v3/cmd/helm', version: 'v3.22.0' },
  prometheus: { package: `${PROMETHEUS}/prometheus`, version: 'v0.316.0', tags: PROMETHEUS_TAGS },
  promtool: { package: `${PROMETHEUS}/promtool`, version: 'v0.316.0', tags: PROMETHEUS_TAGS },
  spegel: { package: 'github.com/spegel-org/spegel', version: 'v0.7.3' },
  versitygw: { package: 'github.com/versity/versitygw/cmd/versitygw', version: 'v1.8.0' },
} satisfies Record<string, GoTool>;

export type Tool = keyof typeof tools;

const binDir = join(cacheDir, 'bin');

/** Where the built program lies. Another version has another name, so a changed table builds anew. */
export function toolPath(tool: Tool): string {
  return join(binDir, `${tool}-${tools[tool].version}`);
}

/** Builds what is not there yet, of all tools or of some; `say` gets a line before each build and one after it. */
export async function buildTools(say: (line: string) => void, which = Object.keys(tools) as Tool[]): Promise<void> {
  await mkdir(binDir, { recursive: true });
  for (const name of which) {
    const tool: GoTool = tools[name];
    const target = join(binDir, `${name}-${tool.version}`);
    await buildOnce(target, `${tool.package}@${tool.version}`, say, async (scratch) => await build(tool, scratch));
  }
}

/** From a module of its own that needs nothing else: `go install` refuses modules with replacements (containerd 2.1). */
async function build({ package: name, version, tags = '' }: GoTool, scratch: string): Promise<void> {
  const env = { ...process.env, CGO_ENABLED: '0', GOFLAGS: '' };
  const go = async (...args: readonly string[]): Promise<void> => {
    await run(['go', ...args], { timeoutMs: 30 * 60_000, env, cwd: scratch });
  };
  await go('mod', 'init', 'lab');
  await go('get', `${name}@${version}`);
  await go('build', '-trimpath', '-tags', tags, '-o', 'built', name);
}
