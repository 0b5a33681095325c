import { mkdir, mkdtemp, readdir, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, onTestFailed, test } from 'vitest';
import { type Program, startAgent, startTier } from '../../scripts/lab/circ.ts';
import { logTails, REGISTRY } from '../../scripts/lab/lab.ts';
import { Namespace } from '../../scripts/lab/network.ts';
import { logsDir, repositoryRoot } from '../../scripts/lab/paths.ts';
import { openFiles, residentMemory } from '../../scripts/lab/process.ts';
import { startRegistry } from '../../scripts/lab/registry.ts';
import type { SmallImages, SmallImagesResult } from '../../scripts/lab/small-images.ts';

const MIB = 1024 * 1024;

const IMAGES = 500;
const PULLS = 10_000;
const LAYER_BYTES = 64 * 1024;
/** The images take 31 MiB: both caches have to evict all the time. */
const AGENT_CACHE_BYTES = 16 * MIB;
const TIER_STORE_BYTES = 24 * MIB;

/** What is not content: directories, records, ingests under way. */
const SLACK_BYTES = 4 * MIB;
/** Node's heap grows to what is convenient: about twice what an idle program takes, and there it stays. */
const MEMORY_BYTES = 450 * MIB;
/** Most that memory may grow in the second half: 13 KiB for each pull. */
const GROWTH_BYTES = 64 * MIB;
/** Connections of 16 clients, between agent and tier, and to the origin. */
const OPEN_FILES = 100;

test('10,000 pulls of 500 small images leave memory, open files and directories within bounds', async () => {
  await mkdir(logsDir, { recursive: true });
  const logs = await mkdtemp(join(logsDir, 'endurance-'));
  onTestFailed(async () => void process.stderr.write(await logTails(logs)));
  await using stack = new AsyncDisposableStack();
  const directory = await mkdtemp(join(tmpdir(), 'circ-e2e-'));
  stack.defer(async () => await rm(directory, { recursive: true }));
  const namespace = stack.use(await Namespace.create('endurance'));
  const storage = join(directory, 'origin');
  const registry = stack.use(await startRegistry({ namespace, storage, directory, logFile: join(logs, 'origin.log') }));
  const origins = join(directory, 'origins.yaml');
  await writeFile(origins, `registries:\n  ${REGISTRY}:\n    endpoint: http://${registry.address}\n`);
  const common = (name: string) => ({
    namespace,
    directory: join(directory, name),
    logFile: join(logs, `${name}.log`),
    origins,
  });
  const env = { CIRC_TIER_STORE_SIZE: String(TIER_STORE_BYTES) };
  const tier = stack.use(await startTier({ ...common('tier'), env }));
  const agentEnv = { CIRC_AGENT_CACHE_SIZE: String(AGENT_CACHE_BYTES) };
  const agent = stack.use(await startAgent(namespace, { ...common('agent'), env: agentEnv }));
  const run = async (part: Pick<SmallImages, 'verb' | 'url' | 'prefix' | 'pulls'>): Promise<SmallImagesResult> => {
    const argument = JSON.stringify({ ...part, images: IMAGES, layerBytes: LAYER_BYTES } satisfies SmallImages);
    const argv = [process.execPath, join(repositoryRoot, 'scripts/lab/small-images.ts'), argument];
    const { stdout } = await namespace.run(argv, { timeoutMs: 240_000 });
    return JSON.parse(stdout) as SmallImagesResult;
  };
  const pulls = { verb: 'pull', url: 'http://127.0.0.1:5050', prefix: `${REGISTRY}/` } as const;

  const pushed = await run({ verb: 'push', url: `http://${registry.address}`, prefix: '', pulls: 0 });
  expect(pushed.failures).toEqual([]);
  const programs = [
    { program: agent, name: 'agent', capacityBytes: AGENT_CACHE_BYTES },
    { program: tier, name: 'tier', capacityBytes: TIER_STORE_BYTES },
  ];
  const pullHalf = async (): Promise<Usage[]> => {
    expect((await run({ ...pulls, pulls: PULLS / 2 })).failures).toEqual([]);
    return await Promise.all(programs.map(async ({ program, name }) => await usage(program, join(directory, name))));
  };
  const before = await pullHalf();
  const after = await pullHalf();
  process.stdout.write(`${JSON.stringify({ before, after })}\n`);
  for (const [index, { memoryBytes, files, directoryBytes, evictions }] of after.entries()) {
    expect(memoryBytes).toBeLessThan(MEMORY_BYTES);
    expect(memoryBytes - (before[index]?.memoryBytes ?? 0)).toBeLessThan(GROWTH_BYTES);
    expect(files).toBeLessThan(OPEN_FILES);
    expect(evictions).toBeGreaterThan(0);
    expect(directoryBytes).toBeLessThan((programs[index]?.capacityBytes ?? 0) + SLACK_BYTES);
  }
});

interface Usage {
  readonly memoryBytes: number;
  readonly files: number;
  readonly directoryBytes: number;
  readonly evictions: number;
}

async function usage(program: Program, directory: string): Promise<Usage> {
  const { pid } = program.daemon;
  return {
    memoryBytes: (await residentMemory(pid)).bytes,
    files: await openFiles(pid),
    directoryBytes: await bytesIn(directory),
    evictions: (await program.metrics()).sum('circ_evictions_total'),
  };
}

/** Of all files below a directory, and of the directories; what is removed meanwhile counts nothing. */
async function bytesIn(directory: string): Promise<number> {
  let bytes = 0;
  for (const entry of await readdir(directory, { recursive: true, withFileTypes: true })) {
    const found = await stat(join(entry.parentPath, entry.name)).catch(() => undefined);
    bytes += found?.size ?? 0;
  }
  return bytes;
}
