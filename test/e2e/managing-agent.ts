import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import { type Program, startAgent } from '../../scripts/lab/circ.ts';
import type { Lab } from '../../scripts/lab/lab.ts';
import { repositoryRoot } from '../../scripts/lab/paths.ts';

/** Ends the lab's own agent and takes its hosts.toml away. @returns containerd's directory */
export async function bareCerts(lab: Lab): Promise<string> {
  await lab.agent.daemon.stop();
  const { certsDir } = lab.containerd;
  await rm(join(certsDir, '_default'), { recursive: true });
  return certsDir;
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
