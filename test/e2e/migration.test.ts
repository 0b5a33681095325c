import { mkdir, readFile, readdir, rename, rm, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { expect, test } from 'vitest';
import type { Program } from '../../scripts/lab/circ.ts';
import { images } from '../../scripts/lab/images.ts';
import { AGENT_URL, type Lab, REGISTRY } from '../../scripts/lab/lab.ts';
import { type Registry, type RequestRecord, startRegistry } from '../../scripts/lab/registry.ts';
import { bareCerts, manage, uninstall } from './managing-agent.ts';
import { expectComplete, openLab, pullFresh } from './support.ts';

// What docs/migration.md says, step by step.

/** As Spegel writes it: https://spegel.dev/docs/usage/node-configuration/ */
const SPEGEL = "[host.'http://127.0.0.1:30020']\ncapabilities = ['pull', 'resolve']\ndial_timeout = '200ms'";

test('from Spegel: circ goes before it, and stays when its clean-up brings the old files back', async () => {
  await using lab = await openLab();
  await using mirror = await startMirror(lab);
  const before = `server = "http://${lab.origin.address}"\n\n[host."http://${mirror.address}"]\n  capabilities = ["pull"]\n`;
  const certs = await leaveOnly(lab, {
    [`_backup/${REGISTRY}/hosts.toml`]: before,
    '_default/hosts.toml': SPEGEL,
  });
  await using agent = await manage(lab);
  await pullThrough(agent, lab);

  // `helm uninstall spegel`: everything goes but what was put aside, which comes back.
  for (const name of await readdir(certs)) {
    if (name !== '_backup') await rm(join(certs, name), { recursive: true });
  }
  await rename(join(certs, '_backup', REGISTRY), join(certs, REGISTRY));
  await rm(join(certs, '_backup'), { recursive: true });
  for (const name of [REGISTRY, '_default']) {
    const path = join(certs, name, 'hosts.toml');
    await agent.daemon.until('back', async () => (await readFile(path, 'utf8')).includes(AGENT_URL));
  }
  await pullThrough(agent, lab);

  await agent.daemon.stop();
  await uninstall(lab);
  expect(await filesOf(certs)).toEqual({ [`${REGISTRY}/hosts.toml`]: before });
});

test('back to Spegel: its files are what they were', async () => {
  await using lab = await openLab();
  const files = {
    [`_backup/${REGISTRY}/hosts.toml`]: 'server = "https://a.example"\n',
    '_default/hosts.toml': SPEGEL,
  };
  const certs = await leaveOnly(lab, files);
  await using agent = await manage(lab);
  await pullThrough(agent, lab);
  await agent.daemon.stop();
  await uninstall(lab);
  expect(await filesOf(certs)).toEqual(files);
});

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

/** Ends the lab's own agent, and fills containerd's directory. */
async function leaveOnly(lab: Lab, files: Readonly<Record<string, string>>): Promise<string> {
  const certs = await bareCerts(lab);
  for (const [name, text] of Object.entries(files)) {
    await mkdir(dirname(join(certs, name)), { recursive: true });
    await writeFile(join(certs, name), text);
  }
  return certs;
}

/** Pulls an image, of which every blob comes from the agent. */
async function pullThrough(agent: Program, lab: Lab): Promise<void> {
  const count = async (): Promise<number> => (await agent.metrics()).sum('circ_requests_total', { kind: 'blob' });
  const [before, blobs] = [await count(), await lab.blobs(images.debian)];
  await pullFresh(lab, images.debian);
  await expectComplete(lab, images.debian, blobs);
  expect((await count()) - before).toBe(blobs.length);
}

/** All files below a directory, with their texts. */
async function filesOf(directory: string): Promise<Record<string, string>> {
  const files: Record<string, string> = {};
  for (const name of await readdir(directory, { recursive: true })) {
    if (name.endsWith('hosts.toml')) files[name] = await readFile(join(directory, name), 'utf8');
  }
  return files;
}

function readersOf(reads: readonly RequestRecord[]): Set<string> {
  return new Set(reads.map(({ client }) => client));
}
