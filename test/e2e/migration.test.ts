import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { Docker } from '../../scripts/lab/docker.ts';
import { images } from '../../scripts/lab/images.ts';
import { AGENT_URL, type Lab, REGISTRY } from '../../scripts/lab/lab.ts';
import { type Registry, type RequestRecord, startRegistry } from '../../scripts/lab/registry.ts';
import { filesOf, leaveOnly, manage, pullThrough, uninstall } from './managing-agent.ts';
import { blobReadsDuring, expectComplete, openLab, pullFresh } from './support.ts';

// What docs/migration.md says, step by step; of Spegel in spegel.test.ts.

test('from a pull-through registry: it is second, and what was fetched from it stays good', async () => {
  await using lab = await openLab();
  await using mirror = await startMirror(lab);
  const server = `server = "http://${lab.origin.address}"\n`;
  const host = `\n[host."http://${mirror.address}"]\n  capabilities = ["pull", "resolve"]\n`;
  const certs = await leaveOnly(lab, { [`${REGISTRY}/hosts.toml`]: `${server}${host}` });
  const path = join(certs, REGISTRY, 'hosts.toml');

  await lab.tier.daemon.stop();
  await fetchFrom(lab, mirror);
  {
    await using tier = await lab.restartTier();
    await using agent = await manage(lab);
    await pullThrough(agent, lab);
    expect((await tier.metrics()).sum('circ_origin_bytes_total')).toBeGreaterThan(0);
    expect(readersOf(await mirror.blobReads())).toEqual(new Set([lab.network.hub.address]));
  }

  // From the registry itself again: what is there is not fetched once more.
  await fetchFrom(lab, lab.origin);
  await using tier = await lab.restartTier();
  const reads = [await mirror.blobReads(), await lab.origin.blobReads()];
  {
    await using agent = await manage(lab, { CIRC_AGENT_ADMIT: 'never' });
    await pullThrough(agent, lab);
    expect([await mirror.blobReads(), await lab.origin.blobReads()]).toEqual(reads);
    expect((await tier.metrics()).sum('circ_origin_requests_total', { kind: 'blob' })).toBe(0);
  }

  // Without circ the mirror is next.
  await pullFresh(lab, images.debian);
  expect(readersOf(await mirror.blobReads())).toContain(lab.node.address);

  // Its lines are taken out while the agent runs; then circ's are.
  await using agent = await manage(lab);
  await writeFile(path, (await readFile(path, 'utf8')).replace(host, ''));
  await pullThrough(agent, lab);
  await agent.daemon.stop();
  await uninstall(lab);
  expect(await filesOf(certs)).toEqual({ [`${REGISTRY}/hosts.toml`]: server });
});

test('Docker: circ is asked first, and the mirror behind it when the agent is away', async () => {
  await using lab = await openLab({ registries: ['docker.io'] });
  await using mirror = await startMirror(lab);
  await using docker = await Docker.start({
    namespace: lab.node,
    directory: join(lab.directory, 'docker'),
    logFile: join(lab.logs, 'docker.log'),
    mirrors: [AGENT_URL, `http://${mirror.address}`],
    insecure: [mirror.address],
  });
  const [config] = await lab.blobs(images.official);
  const pull = async (): Promise<void> => {
    const name = images.official.slice('library/'.length);
    await docker.pull('docker', '1');
    expect((await docker.image(name)).Id).toBe(config?.digest);
    await docker.remove(name);
  };

  await pull();
  expect(await mirror.requests().then((all) => all.filter(({ client }) => client === lab.node.address))).toEqual([]);
  await lab.agent.daemon.stop();
  await pull();
  expect(readersOf(await mirror.blobReads())).toEqual(new Set([lab.node.address]));
});

/** Where a path of another registry can stand for this one; Harbor has such paths. */
const lines = {
  host: '\n  capabilities = ["pull", "resolve"]\n  override_path = true\n',
  server: '\noverride_path = true\n',
};
const placesOfPath = [
  { file: `${REGISTRY}/hosts.toml`, toml: (url: string) => `[host."${url}"]${lines.host}` },
  { file: `${REGISTRY}/hosts.toml`, toml: (url: string) => `server = "${url}"${lines.server}` },
  { file: '_default/hosts.toml', toml: (url: string) => `server = "${url}"${lines.server}` },
];

test('plain names before circ: a path with override_path is asked behind circ, be it of a host or the server', async () => {
  await using lab = await openLab();
  await using harbor = await startRegistry({
    namespace: await lab.network.attach('harbor'),
    storage: join(lab.directory, 'harbor'),
    directory: lab.directory,
    logFile: join(lab.logs, 'harbor.log'),
    port: 5001,
  });
  const path = `/v2/hub/${images.debian.replace(/:.*/, '')}`;
  await lab.crane(
    lab.originNode,
    'copy',
    `${lab.origin.address}/${images.debian}`,
    `${harbor.address}/hub/${images.debian}`,
  );
  const blobs = await lab.blobs(images.debian);
  const pullByPath = async (): Promise<void> => {
    const before = (await harbor.blobReads()).length;
    expect(await blobReadsDuring(lab, async () => await pullFresh(lab, images.debian))).toEqual([]);
    await expectComplete(lab, images.debian, blobs);
    const reads = (await harbor.blobReads()).slice(before);
    expect(reads.map((read) => read.path.split('/blobs/')[0])).toEqual(blobs.map(() => path));
  };

  for (const { file, toml } of placesOfPath) {
    const files = { [file]: toml(`http://${harbor.address}/v2/hub`) };
    const certs = await leaveOnly(lab, files);
    await pullByPath();
    {
      await using agent = await manage(lab);
      const before = await harbor.requests();
      await pullThrough(agent, lab);
      expect(await harbor.requests()).toEqual(before);
    }
    // Away without a word: its lines are there.
    expect(await readFile(join(certs, file), 'utf8')).toContain(AGENT_URL);
    await pullByPath();
    await uninstall(lab);
    expect(await filesOf(certs)).toEqual(files);
    await pullByPath();
  }
});

/** A pull-through cache of the lab's origin, on a machine of its own. */
async function startMirror(lab: Lab): Promise<Registry> {
  return await startRegistry({
    namespace: await lab.network.attach('mirror'),
    storage: join(lab.directory, 'mirror'),
    directory: lab.directory,
    logFile: join(lab.logs, 'mirror.log'),
    port: 5001,
    upstream: `http://${lab.origin.address}`,
  });
}

/** What the next shared tier is told of the registry. */
async function fetchFrom(lab: Lab, { address }: Registry): Promise<void> {
  const entry = `registries:\n  ${REGISTRY}:\n    endpoint: http://${address}\n`;
  await writeFile(join(lab.directory, 'origins.yaml'), entry);
}

function readersOf(reads: readonly RequestRecord[]): Set<string> {
  return new Set(reads.map(({ client }) => client));
}
