import { mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { type CircImage, buildCircImage } from '../../scripts/lab/circ-image.ts';
import { Daemon } from '../../scripts/lab/daemon.ts';
import { get } from '../../scripts/lab/http.ts';
import { Network } from '../../scripts/lab/network.ts';
import { logsDir } from '../../scripts/lab/paths.ts';
import { residentMemory } from '../../scripts/lab/process.ts';
import { startRegistry } from '../../scripts/lab/registry.ts';
import { run } from '../../scripts/lab/run.ts';
import { craneIn } from '../../scripts/lab/crane.ts';

const MIB = 1024 * 1024;
const REFERENCE = 'registry.lab/circ/circ:e2e';

const stack = new AsyncDisposableStack();
let image: CircImage;
let directory: string;
let logs: string;

beforeAll(async () => {
  await mkdir(logsDir, { recursive: true });
  logs = await mkdtemp(join(logsDir, 'image-'));
  directory = await mkdtemp(join(tmpdir(), 'circ-e2e-'));
  stack.defer(async () => await rm(directory, { recursive: true }));
  image = stack.use(await buildCircImage(REFERENCE));
});

afterAll(async () => await stack.disposeAsync());

/** Bytes of the layers as they are pulled. */
async function pulledBytes(): Promise<number> {
  const blob = async (digest: string): Promise<{ layers: { size: number }[] }> =>
    JSON.parse(await readFile(join(image.layout, 'blobs/sha256', digest.slice(7)), 'utf8')) as never;
  return (await blob(image.digest)).layers.reduce((total, { size }) => total + size, 0);
}

test('the image is the same whenever it is built from the same sources', async () => {
  await using again = await buildCircImage(REFERENCE);
  expect(again.digest).toBe(image.digest);
});

test('the image is pushed with crane, and is whole at the registry', async () => {
  await using network = await Network.create();
  const namespace = await network.attach('origin');
  const storage = join(directory, 'storage');
  await using registry = await startRegistry({ namespace, storage, directory, logFile: join(logs, 'registry.log') });
  const crane = craneIn({ namespace, home: directory });
  const tag = `${registry.address}/circ/circ:e2e`;
  await crane('push', image.layout, tag);
  expect(await crane('digest', tag)).toBe(image.digest);
  await crane('push', image.archive, `${tag}-archive`);
  await crane('validate', '--remote', tag);
  await crane('validate', '--remote', `${tag}-archive`);
  expect(await pulledBytes()).toBeLessThan(70 * MIB);
});

test('both programs start from the image without root, soon and in little memory', async () => {
  const root = join(directory, 'root');
  await mkdir(root);
  const layers = JSON.parse(await readFile(join(image.layout, 'manifest.json'), 'utf8')) as [{ Layers: string[] }];
  for (const layer of layers[0].Layers) await run(['tar', '-xpf', join(image.layout, layer), '-C', root]);
  await using network = await Network.create();
  const rows = [`| image, compressed | ${Math.round((await pulledBytes()) / MIB)} MiB |`];
  const start = async (name: string, statusPort: number, env: NodeJS.ProcessEnv): Promise<Daemon> => {
    const startedAtMs = performance.now();
    const daemon = await Daemon.start({
      argv: network.hub.command([
        '/usr/sbin/chroot',
        '--userspec=65532:65532',
        root,
        '/usr/local/bin/node',
        `/app/${name}/main.js`,
      ]),
      logFile: join(logs, `${name}.log`),
      env,
    });
    const ready = async (): Promise<boolean> =>
      (await get(network.hub, `http://127.0.0.1:${statusPort}/readyz`)).status === 200;
    await daemon.until('ready', ready);
    rows.push(`| ${name}: start until ready | ${Math.round(performance.now() - startedAtMs)} ms |`);
    return daemon;
  };
  await using tier = await start('shared-tier', 5062, { CIRC_TIER_LEASES: 'memory', CIRC_INSECURE: 'true' });
  await using agent = await start('agent', 5051, { CIRC_SHARED_TIER: '127.0.0.1:5060' });
  // Not for something to happen: what a program takes when nothing does.
  await sleep(3_000);
  for (const daemon of [tier, agent]) {
    const { bytes } = await residentMemory(daemon.pid);
    rows.push(`| ${daemon.name}: memory when idle | ${Math.round(bytes / MIB)} MiB |`);
    expect(bytes).toBeLessThan(200 * MIB);
  }
  await writeFile(join(logsDir, 'image.md'), `| what | measured |\n| --- | --- |\n${rows.join('\n')}\n`);
});
