import { mkdir, readFile, readdir, rm, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { expect } from 'vitest';
import { type Program, startAgent } from '../../scripts/lab/circ.ts';
import { images } from '../../scripts/lab/images.ts';
import type { Lab } from '../../scripts/lab/lab.ts';
import { repositoryRoot } from '../../scripts/lab/paths.ts';
import { expectComplete, pullFresh } from './support.ts';

/** Ends the lab's own agent and empties containerd's directory. @returns that */
export async function bareCerts(lab: Lab): Promise<string> {
  await lab.agent.daemon.stop();
  const { certsDir } = lab.containerd;
  for (const name of await readdir(certsDir)) await rm(join(certsDir, name), { recursive: true });
  return certsDir;
}

/** Ends the lab's own agent; containerd's directory has these files alone. @returns it */
export async function leaveOnly(lab: Lab, files: Readonly<Record<string, string>>): Promise<string> {
  const certs = await bareCerts(lab);
  for (const [name, text] of Object.entries(files)) {
    await mkdir(dirname(join(certs, name)), { recursive: true });
    await writeFile(join(certs, name), text);
  }
  return certs;
}

/** All hosts.toml files below a directory, with their texts. */
export async function filesOf(directory: string): Promise<Record<string, string>> {
  const files: Record<string, string> = {};
  for (const name of await readdir(directory, { recursive: true })) {
    if (name.endsWith('hosts.toml')) files[name] = await readFile(join(directory, name), 'utf8');
  }
  return files;
}

/** Another agent in its place, which manages containerd's directory. */
export async function manage(lab: Lab, env: Readonly<Record<string, string>> = {}): Promise<Program> {
  return await startAgent(lab.network.hub, {
    namespace: lab.node,
    directory: join(lab.directory, 'managing-agent'),
    logFile: join(lab.logs, 'managing-agent.log'),
    origins: join(lab.directory, 'origins.yaml'),
    env: { CIRC_CONTAINERD_CERTS_DIR: lab.containerd.certsDir, ...env },
  });
}

/** What an operator does last, when the agent has ended. */
export async function uninstall(lab: Lab): Promise<void> {
  const env = { PATH: process.env['PATH'], CIRC_CONTAINERD_CERTS_DIR: lab.containerd.certsDir };
  await lab.node.run([process.execPath, join(repositoryRoot, 'agent/main.ts'), '--uninstall'], { env });
}

/** Pulls an image, of which every blob comes from the agent. */
export async function pullThrough(agent: Program, lab: Lab): Promise<void> {
  const count = async (): Promise<number> => (await agent.metrics()).sum('circ_requests_total', { kind: 'blob' });
  const [before, blobs] = [await count(), await lab.blobs(images.debian)];
  await pullFresh(lab, images.debian);
  await expectComplete(lab, images.debian, blobs);
  expect((await count()) - before).toBe(blobs.length);
}
