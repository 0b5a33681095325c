import { mkdir, mkdtemp, rename, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { cacheDir, exists } from './paths.ts';
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

const tools = {
  crane: { package: 'github.com/google/go-containerregistry/cmd/crane', version: 'v0.22.1' },
  registry: { package: 'github.com/distribution/distribution/v3/cmd/registry', version: 'v3.1.2' },
  containerd: { package: `${CONTAINERD}/containerd`, version: 'v2.4.2', tags: CONTAINERD_TAGS },
  ctr: { package: `${CONTAINERD}/ctr`, version: 'v2.4.2', tags: CONTAINERD_TAGS },
} satisfies Record<string, GoTool>;

export type Tool = keyof typeof tools;

const binDir = join(cacheDir, 'bin');

/** Where the built program lies. Another version has another name, so a changed table builds anew. */
export function toolPath(tool: Tool): string {
  return join(binDir, `${tool}-${tools[tool].version}`);
}

/** Builds what is not there yet; `say` gets a line before each build and one after it. */
export async function buildTools(say: (line: string) => void): Promise<void> {
  await mkdir(binDir, { recursive: true });
  for (const [name, tool] of Object.entries<GoTool>(tools)) {
    const target = join(binDir, `${name}-${tool.version}`);
    if (await exists(target)) continue;
    const module = `${tool.package}@${tool.version}`;
    say(`go install ${module} …`);
    const start = performance.now();
    const scratch = await mkdtemp(join(cacheDir, 'go-install-'));
    try {
      await run(['go', 'install', ...(tool.tags === undefined ? [] : ['-tags', tool.tags]), module], {
        timeoutMs: 30 * 60_000,
        env: { ...process.env, GOBIN: scratch, CGO_ENABLED: '0' },
      });
      await rename(join(scratch, name), target);
    } finally {
      await rm(scratch, { recursive: true });
    }
    say(`  ${Math.round((performance.now() - start) / 1000)} s`);
  }
}
