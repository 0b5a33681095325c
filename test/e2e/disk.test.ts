import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { type Program, startAgent } from '../../scripts/lab/circ.ts';
import { images } from '../../scripts/lab/images.ts';
import { type Lab, REGISTRY } from '../../scripts/lab/lab.ts';
import { repositoryRoot } from '../../scripts/lab/paths.ts';
import { run } from '../../scripts/lab/run.ts';
import { expectComplete, openLab, pullFresh, totalSize, untilStored } from './support.ts';

const MIB = 1024 * 1024;

/** The lab with an agent whose cache is a file system of its own. */
async function labOn(sizeBytes: number, env: Record<string, string> = {}) {
  await using stack = new AsyncDisposableStack();
  const lab = stack.use(await openLab());
  await lab.agent.daemon.stop();
  const directory = join(lab.directory, 'small');
  await mkdir(directory);
  await run(['mount', '-t', 'tmpfs', '-o', `size=${sizeBytes}`, 'circ-e2e', directory]);
  stack.defer(async () => void (await run(['umount', '-l', directory])));
  const start = async (): Promise<Program> =>
    await startAgent(lab.network.hub, {
      namespace: lab.node,
      directory,
      logFile: join(lab.logs, 'agent-small.log'),
      origins: join(lab.directory, 'origins.yaml'),
      env: { CIRC_AGENT_ADMIT: 'always', ...env },
    });
  const agent = stack.use(await start());
  const all = stack.move();
  return { lab, agent, directory, start, [Symbol.asyncDispose]: async () => await all.disposeAsync() };
}

async function pullComplete(lab: Lab): Promise<void> {
  await pullFresh(lab, images.debian);
  await expectComplete(lab, images.debian, await lab.blobs(images.debian));
}

async function expectOneWarning(agent: Program): Promise<void> {
  await agent.daemon.stop(); // then all of its lines are written
  const lines = (await agent.daemon.log()).split('\n').filter((line) => /"level":[45]0/.test(line));
  const ours = lines.filter((line) => line.includes('not kept on this node') || line.includes('cannot be used'));
  expect(ours).toHaveLength(1);
}

describe('a node whose cache has a small disk pulls all the same', () => {
  test('when that is full from the beginning, which is counted and logged once', async () => {
    await using it = await labOn(4 * MIB, { CIRC_AGENT_MIN_FREE: '0%' });
    await writeFile(join(it.directory, 'others'), Buffer.alloc(4 * MIB)).catch(() => undefined); // ENOSPC at its end
    for (let round = 0; round < 2; round += 1) await pullComplete(it.lab);
    expect((await it.agent.metrics()).sum('circ_fills_failed_total')).toBeGreaterThanOrEqual(2);
    await expectOneWarning(it.agent);
  });

  test('when others fill it in the middle of a pull', async () => {
    await using it = await labOn(200 * MIB, { CIRC_AGENT_MIN_FREE: '0%' });
    await it.lab.network.limitUplink(it.lab.originNode, 20); // some seconds for the image
    const pull = pullFresh(it.lab, images.debian);
    await it.agent.daemon.until('copying', async () => (await it.agent.metrics()).sum('circ_store_bytes') > 0);
    await run(['dd', 'if=/dev/zero', `of=${join(it.directory, 'others')}`, 'bs=1M']).catch(() => undefined);
    await pull;
    await expectComplete(it.lab, images.debian, await it.lab.blobs(images.debian));
    expect((await it.agent.metrics()).sum('circ_fills_failed_total')).toBeGreaterThan(0);
  });

  test('when it becomes read-only, and what the node has is still served from it', async () => {
    await using it = await labOn(200 * MIB, { CIRC_AGENT_MIN_FREE: '0%' });
    const blobs = await it.lab.blobs(images.debian);
    await pullComplete(it.lab);
    await untilStored(it.agent, totalSize(blobs));
    // A mount over its content: the whole file system cannot be made read-only while the agent's lock is open.
    const content = join(it.directory, 'v1');
    await run(['mount', '--bind', content, content]);
    await run(['mount', '-o', 'remount,bind,ro', content]);
    const hit = { kind: 'blob', outcome: 'node-hit' };
    const before = (await it.agent.metrics()).sum('circ_requests_total', hit);
    await pullComplete(it.lab);
    expect((await it.agent.metrics()).sum('circ_requests_total', hit) - before).toBeGreaterThanOrEqual(blobs.length);
    await it.lab.containerd.pull(`${REGISTRY}/${images.multi}`);
    expect((await it.agent.metrics()).sum('circ_fills_failed_total')).toBeGreaterThan(0);
    await expectOneWarning(it.agent);
  });
});

test('a node cache gives way to other programs that fill its disk', async () => {
  await using it = await labOn(200 * MIB, { CIRC_AGENT_MIN_FREE: '20%' });
  const blobs = await it.lab.blobs(images.debian);
  await pullComplete(it.lab);
  await untilStored(it.agent, totalSize(blobs));
  await run(['dd', 'if=/dev/zero', `of=${join(it.directory, 'others')}`, 'bs=1M', 'count=175']).catch(() => undefined);
  await it.agent.daemon.until(
    'evicting',
    async () => (await it.agent.metrics()).sum('circ_evictions_total', { reason: 'free-space' }) > 0,
  );
  expect((await it.agent.metrics()).sum('circ_store_bytes')).toBeLessThan(totalSize(blobs));
  await pullComplete(it.lab);
});

test('an agent in another container, with the same directory, is refused until the first one is gone', async () => {
  await using it = await labOn(200 * MIB);
  const env = { PATH: process.env['PATH'], CIRC_AGENT_CACHE_DIR: it.directory };
  const argv = [
    'unshare',
    '--pid',
    '--fork',
    '--kill-child',
    '--net',
    process.execPath,
    join(repositoryRoot, 'agent/main.ts'),
  ];
  await expect(run(argv, { env, timeoutMs: 20_000 })).rejects.toThrow('is in use by another process');
  await it.agent.daemon.stop('SIGKILL');
  await using next = await it.start();
  expect(await next.ready()).toBe(true);
});
