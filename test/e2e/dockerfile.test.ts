import { mkdir, readFile, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, onTestFailed, test } from 'vitest';
import { BuildKit } from '../../scripts/lab/buildkit.ts';
import { buildCircImage } from '../../scripts/lab/circ-image.ts';
import { type Crane, craneIn } from '../../scripts/lab/crane.ts';
import { Daemon } from '../../scripts/lab/daemon.ts';
import { Docker } from '../../scripts/lab/docker.ts';
import { get } from '../../scripts/lab/http.ts';
import { logTails } from '../../scripts/lab/lab.ts';
import { pushNodeBase } from '../../scripts/lab/node-base.ts';
import { repositoryRoot } from '../../scripts/lab/paths.ts';
import { startRegistry } from '../../scripts/lab/registry.ts';
import { run } from '../../scripts/lab/run.ts';
import { Site } from '../../scripts/lab/site.ts';
import { toolPath } from '../../scripts/lab/tools.ts';

/** Stands for Docker Hub, and for the registry of who builds; it is on their machine, so that nobody wants TLS. */
const REGISTRY = '127.0.0.1:5000';

const BUILD_MS = 240_000;

interface Image {
  readonly architecture: string;
  readonly os: string;
  /** How it runs. */
  readonly config: object;
  /** Of each layer: path, type, rights, owner, time and content of every file. */
  readonly layers: readonly (readonly string[])[];
}

const stack = new AsyncDisposableStack();
let site: Site;
let crane: Crane;
let ours: Image;

beforeAll(async () => {
  site = stack.use(await Site.start('dockerfile'));
  const { directory, network } = site;
  crane = craneIn({ namespace: network.hub, home: directory, timeoutMs: 120_000 });
  const storage = join(directory, 'storage');
  site.use(await startRegistry({ namespace: network.hub, storage, directory, logFile: site.logFile('registry') }));
  const dockerfile = await readFile(join(repositoryRoot, 'Dockerfile'), 'utf8');
  const base = /^FROM (node:\S+) AS build$/m.exec(dockerfile)?.[1];
  await pushNodeBase(network.hub, join(directory, 'base'), `${REGISTRY}/library/${base}`);
  await using image = await buildCircImage(`${REGISTRY}/circ:ours`);
  await crane('push', image.layout, `${REGISTRY}/circ:ours`);
  ours = await pushed('ours');
});

afterAll(async () => await stack.disposeAsync());

test('docker build makes the image that npm run image makes, and both programs start from it', async () => {
  onTestFailed(async () => void process.stderr.write(await logTails(site.logs)));
  await using docker = await Docker.start({
    namespace: site.network.hub,
    directory: join(site.directory, 'docker'),
    logFile: site.logFile('docker'),
    mirrors: [`http://${REGISTRY}`],
  });
  const image = `${REGISTRY}/circ:docker`;
  await run(docker.command('build', '--network', 'none', '--tag', image, repositoryRoot), { timeoutMs: BUILD_MS });
  await run(docker.command('push', image));
  // Builders add settings that are unset.
  expect(await pushed('docker')).toMatchObject(ours);

  const start = async (program: string, statusPort: number, env: readonly string[]): Promise<Daemon> => {
    const options = ['--rm', '--network', 'host', ...env.flatMap((each) => ['--env', each])];
    const daemon = await Daemon.start({
      argv: docker.command('run', ...options, image, `${program}/main.js`),
      logFile: site.logFile(program),
    });
    const url = `http://127.0.0.1:${statusPort}/readyz`;
    await daemon.until('ready', async () => (await get(site.network.hub, url)).status === 200);
    return daemon;
  };
  await using tier = await start('shared-tier', 5062, ['CIRC_TIER_LEASES=memory', 'CIRC_INSECURE=true']);
  await using agent = await start('agent', 5051, ['CIRC_SHARED_TIER=127.0.0.1:5060']);
  expect((await agent.stop()).code).toBe(0);
  expect((await tier.stop()).code).toBe(0);
});

test('BuildKit makes the image that npm run image makes', async () => {
  onTestFailed(async () => void process.stderr.write(await logTails(site.logs)));
  await using buildkit = await BuildKit.start({
    namespace: site.network.hub,
    directory: join(site.directory, 'buildkit'),
    logFile: site.logFile('buildkitd'),
    insecure: REGISTRY,
    mirror: REGISTRY,
  });
  await buildkit.push(repositoryRoot, `${REGISTRY}/circ:buildkit`);
  expect(await pushed('buildkit')).toMatchObject(ours);
});

/** What the registry has under a tag. */
async function pushed(tag: string): Promise<Image> {
  const ask = async (what: string): Promise<unknown> => JSON.parse(await crane(what, `${REGISTRY}/circ:${tag}`));
  const { architecture, os, config } = (await ask('config')) as Image;
  const manifest = (await ask('manifest')) as { layers: { digest: string }[] };
  const layers = [];
  for (const { digest } of manifest.layers) layers.push(await contentOf(`${REGISTRY}/circ@${digest}`));
  // BuildKit makes a layer of nothing for WORKDIR.
  return { architecture, os, config, layers: layers.filter(({ length }) => length > 0) };
}

async function contentOf(layer: string): Promise<string[]> {
  const root = join(site.directory, 'layer');
  await mkdir(root);
  const unpack = '"$0" blob "$1" | tar -C "$2" -xzp';
  await site.network.hub.run(['sh', '-c', unpack, toolPath('crane'), layer, root]);
  const look = "find . -mindepth 1 -printf '%P %y %m %U:%G %T@ %l\\n'; find . -type f -exec sha256sum {} +";
  const { stdout } = await run(['sh', '-c', look], { cwd: root });
  await rm(root, { recursive: true });
  return stdout.split('\n').filter(Boolean).toSorted();
}
