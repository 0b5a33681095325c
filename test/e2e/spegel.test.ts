import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { Containerd, hostsToml } from '../../scripts/lab/containerd.ts';
import type { Daemon } from '../../scripts/lab/daemon.ts';
import { images } from '../../scripts/lab/images.ts';
import { AGENT_URL, REGISTRY } from '../../scripts/lab/lab.ts';
import { Spegel } from '../../scripts/lab/spegel.ts';
import { filesOf, leaveOnly, manage, pullThrough, uninstall } from './managing-agent.ts';
import { blobReadsDuring, expectComplete, openLab, pullFresh } from './support.ts';

// What docs/migration.md says of Spegel, step by step, with its own programs.

const BACKUP = `_backup/${REGISTRY}/hosts.toml`;

test('from Spegel: circ goes before it, it answers when circ is away, and circ stays when its clean-up brings the old files back', async () => {
  await using lab = await openLab();
  const namespace = await lab.network.attach('neighbour');
  await using neighbour = await Containerd.start({
    namespace,
    directory: join(lab.directory, 'neighbour'),
    logFile: join(lab.logs, 'neighbour.log'),
  });
  await neighbour.configureHost(REGISTRY, hostsToml(AGENT_URL, `http://${lab.origin.address}`));
  await neighbour.pull(`${REGISTRY}/${images.debian}`);
  const here = new Spegel({ namespace: lab.node, containerd: lab.containerd, logs: lab.logs, peer: namespace });
  const there = new Spegel({ namespace, containerd: neighbour, logs: lab.logs, peer: lab.node });
  const before = `server = "http://${lab.origin.address}"\n\n[host."http://127.0.0.1:9"]\n  capabilities = ["pull"]\n`;
  const certs = await leaveOnly(lab, { [`${REGISTRY}/hosts.toml`]: before });
  await here.configure();
  // As the page shows it.
  const tables = [30020, 30021].map(
    (port) => `[host.'http://${lab.node.address}:${port}']\ncapabilities = ['pull', 'resolve']\ndial_timeout = '200ms'`,
  );
  expect(await filesOf(certs)).toEqual({ [BACKUP]: before, '_default/hosts.toml': tables.join('\n\n') });
  const untilBack = async (agent: Daemon, ...registries: readonly string[]): Promise<void> => {
    for (const name of registries) {
      const path = join(certs, name, 'hosts.toml');
      await agent.until('back', async () => (await readFile(path, 'utf8')).includes(AGENT_URL), 3000);
    }
  };

  {
    await using first = await here.serve();
    await using second = await there.serve();
    await here.ready(first);
    await there.ready(second);
    {
      await using agent = await manage(lab);
      await pullThrough(agent, lab);
      // Its pod starts again.
      await here.configure();
      await untilBack(agent.daemon, '_default');
      await pullThrough(agent, lab);
    }
    // Nobody but Spegel can answer now: nothing tells containerd where the registry is.
    expect(await blobReadsDuring(lab, async () => await pullFresh(lab, images.debian))).toEqual([]);
    await expectComplete(lab, images.debian, await lab.blobs(images.debian));
  }

  await using agent = await manage(lab);
  await here.cleanUp();
  await untilBack(agent.daemon, REGISTRY, '_default');
  await pullThrough(agent, lab);
  await agent.daemon.stop();
  await uninstall(lab);
  expect(await filesOf(certs)).toEqual({ [`${REGISTRY}/hosts.toml`]: before });
});

test.for([
  { what: 'for all registries', flags: [] },
  {
    what: 'before the hosts of one registry',
    flags: ['--mirrored-registries', `http://${REGISTRY}`, '--prepend-existing'],
  },
])('back to Spegel: its files $what are what they were', async ({ flags }) => {
  await using lab = await openLab();
  const own =
    '[host."http://127.0.0.1:9"]\n  capabilities = ["pull"]\n  [host."http://127.0.0.1:9".header]\n    x-a = ["b"]\n';
  const certs = await leaveOnly(lab, { [`${REGISTRY}/hosts.toml`]: own });
  const { node: namespace, containerd, logs } = lab;
  await new Spegel({ namespace, containerd, logs, peer: namespace }).configure(...flags);
  const files = await filesOf(certs);
  expect(Object.keys(files).length).toBe(2);
  await using agent = await manage(lab);
  await pullThrough(agent, lab);
  await agent.daemon.stop();
  await uninstall(lab);
  expect(await filesOf(certs)).toEqual(files);
});
