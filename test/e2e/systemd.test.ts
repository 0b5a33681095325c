import { cp, mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, onTestFailed, test } from 'vitest';
import { Containerd } from '../../scripts/lab/containerd.ts';
import { ensureImages, images } from '../../scripts/lab/images.ts';
import { logTails } from '../../scripts/lab/lab.ts';
import { repositoryRoot } from '../../scripts/lab/paths.ts';
import { run } from '../../scripts/lab/run.ts';
import { REGISTRY, Site } from '../../scripts/lab/site.ts';
import { SystemdMachine } from '../../scripts/lab/systemd.ts';

const AGENT = 'circ-agent.service';
const TIER = 'circ-shared-tier.service';
const UNITS = [AGENT, TIER].map((unit) => join(repositoryRoot, 'manifests/systemd', unit));
/** systemd's own scale, from 0 to 10: "OK" is what is below 5. Most of what is left is the network, which is what circ is for. */
const EXPOSURE = { [AGENT]: 2.5, [TIER]: 2 };
const WAIT = { timeout: 30_000, interval: 200 };

/** /opt/circ, as docs/without-kubernetes.md makes it. */
async function install(directory: string): Promise<void> {
  const root = await mkdtemp(join(tmpdir(), 'circ-root-'));
  try {
    await run([process.execPath, 'scripts/image.ts', '--root', root], { cwd: repositoryRoot, timeoutMs: 180_000 });
    await cp(join(root, 'app'), join(directory, 'app'), { recursive: true });
    await cp(join(root, 'usr/local/bin/node'), join(directory, 'node'));
  } finally {
    await rm(root, { recursive: true });
  }
}

test('the units start at boot, serve a pull, are started again when they end, and have few rights', async () => {
  await using site = await Site.start('systemd');
  onTestFailed(async () => void process.stderr.write(await logTails(site.logs)));
  const { registry } = await site.origin({ storage: await ensureImages() });
  const namespace = await site.network.attach('machine');
  const directory = join(site.directory, 'machine');
  for (const part of ['opt', 'etc']) await mkdir(join(directory, part), { recursive: true });
  await install(join(directory, 'opt'));
  await cp(site.origins, join(directory, 'etc/origins.yaml'));
  for (const part of ['agent', 'shared-tier']) {
    await writeFile(
      join(directory, `etc/${part}.env`),
      'CIRC_ORIGINS=/etc/circ/origins.yaml\nCIRC_AGENT_MIN_FREE=1%\n',
    );
  }
  const logFile = site.logFile('machine');
  await using machine = await SystemdMachine.start({ namespace, directory, logFile, units: UNITS });
  for (const unit of [AGENT, TIER] as const) {
    const said = await machine.run(['sh', '-c', `systemd-analyze verify /etc/systemd/system/${unit} 2>&1`]);
    expect(said.split('\n').filter((line) => line.includes('circ'))).toEqual([]);
    const exposed = await machine.run(['systemd-analyze', 'security', '--no-pager', unit]);
    expect(Number(/exposure level for \S+: ([\d.]+)/.exec(exposed)?.[1])).toBeLessThan(EXPOSURE[unit]);
  }

  const containerd = site.use(await Containerd.start({ namespace, directory, logFile: site.logFile('containerd') }));
  const pull = async (): Promise<number> => {
    await containerd.forget();
    const already = (await registry.blobReads()).length;
    await containerd.pull(`${REGISTRY}/${images.debian}`);
    return (await registry.blobReads()).length - already;
  };
  // Nothing but the agent's lines leads to the registry.
  const firstPull = async (): Promise<number> => await pull().catch(() => 0);
  await expect.poll(firstPull, WAIT).toBeGreaterThan(0);
  expect(await pull()).toBe(0);

  for (const unit of [AGENT, TIER]) {
    await machine.run(['systemctl', 'kill', '--signal=KILL', unit]);
    await expect.poll(async () => await machine.property(unit, 'NRestarts'), WAIT).toBe('1');
    await expect.poll(async () => await machine.property(unit, 'ActiveState'), WAIT).toBe('active');
  }
  await expect.poll(async () => await pull().catch(String), WAIT).toBe(0);
});
