import { mkdir, readFile, rename, writeFile } from 'node:fs/promises';
import { createServer } from 'node:net';
import { once } from 'node:events';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { generatedBlob } from '../support/blobs.ts';
import { pull } from '../support/house-client.ts';
import { scrape } from '../support/house-metrics.ts';
import { Program, run } from '../support/house-process.ts';
import { REGISTRY, startHouse } from '../support/house.ts';
import { formatAddress } from '../../service/units.ts';
import { tmpDir } from '../support/tmp-dir.ts';

const ORIGINAL = '# of our company\r\nserver = "https://docker.example"\r\n\r\n[host."https://near"]\r\n';

/** A process of the agent that manages `DIRECTORY/certs.d`; its tier need not be there. */
function environment(directory: string, more: Record<string, string> = {}): Record<string, string> {
  return {
    CIRC_AGENT_LISTEN: '127.0.0.1:0',
    CIRC_AGENT_STATUS_LISTEN: '127.0.0.1:0',
    CIRC_SHARED_TIER: '127.0.0.1:1',
    CIRC_AGENT_CACHE_DIR: join(directory, 'cache'),
    CIRC_AGENT_MIN_FREE: '0%',
    CIRC_CONTAINERD_CERTS_DIR: join(directory, 'certs.d'),
    ...more,
  };
}

async function originalFile(directory: string): Promise<string> {
  const path = join(directory, 'certs.d/docker.io/hosts.toml');
  await mkdir(join(directory, 'certs.d/docker.io'), { recursive: true });
  await writeFile(path, ORIGINAL);
  return path;
}

/** The first host of a hosts.toml, which is where containerd goes. */
async function firstHost(path: string): Promise<string | undefined> {
  return /^\[host\."(.*)"\]/m.exec(await readFile(path, 'utf8').catch(() => ''))?.[1];
}

describe('an agent that manages hosts.toml', () => {
  test('leads containerd to where it listens, and what is pulled from there comes whole', async () => {
    await using directory = await tmpDir();
    const certs = join(directory.path, 'certs.d');
    await using house = await startHouse({ agent: { CIRC_CONTAINERD_CERTS_DIR: certs } });
    await house.origin.addImage('org/app', 'v1', { layers: [generatedBlob(100_000)] });
    const mirror = (await firstHost(join(certs, '_default/hosts.toml'))) ?? '';
    expect(mirror).toBe(house.mirror);
    const pulled = await pull({ mirror, registry: REGISTRY, repository: 'org/app', reference: 'v1' });
    expect(pulled.bytes).toBeGreaterThan(100_000);
    expect((await house.agentMetrics()).sum('circ_hosts_toml_files', { state: 'managed' })).toBe(1);
  });

  test('does not touch the files before it listens, nor when it cannot', async () => {
    await using directory = await tmpDir();
    const path = await originalFile(directory.path);
    const server = createServer().listen(0, '127.0.0.1');
    await once(server, 'listening');
    const address = server.address();
    const port = typeof address === 'object' ? address?.port : 0;
    const taken = { CIRC_AGENT_LISTEN: `127.0.0.1:${port}` };
    const { code } = await run('agent/main.ts', { env: environment(directory.path, taken) });
    server.close();
    expect(code).toBe(1);
    expect(await readFile(path, 'utf8')).toBe(ORIGINAL);
    expect(await firstHost(join(directory.path, 'certs.d/_default/hosts.toml'))).toBeUndefined();
  });

  test('mends what is rewritten, leaves all in place at its end, and --uninstall makes it what it was', async () => {
    await using directory = await tmpDir();
    const path = await originalFile(directory.path);
    const made = join(directory.path, 'certs.d/_default');
    let mirror: string;
    {
      await using agent = new Program('agent/main.ts', { env: environment(directory.path) });
      mirror = (await agent.listening())['mirror'] ?? '';
      expect(await firstHost(path)).toBe(`http://${mirror}`);
      // Both at one blow: the agent may be writing there at any moment.
      await originalFile(join(directory.path, 'new'));
      await rename(join(directory.path, 'certs.d/docker.io'), join(directory.path, 'old'));
      await rename(join(directory.path, 'new/certs.d/docker.io'), join(directory.path, 'certs.d/docker.io'));
      await expect.poll(() => firstHost(path), { timeout: 10_000 }).toBe(`http://${mirror}`);
      agent.kill('SIGTERM');
      expect(await agent.exited()).toMatchObject({ code: 0 });
    }
    for (const each of [path, join(made, 'hosts.toml')]) expect(await firstHost(each)).toBe(`http://${mirror}`);
    const env = environment(directory.path, { CIRC_AGENT_LISTEN: mirror });
    expect(await run('agent/main.ts', { args: ['--uninstall'], env })).toMatchObject({ code: 0, stderr: '' });
    expect(await readFile(path, 'utf8')).toBe(ORIGINAL);
    await expect(readFile(made)).rejects.toThrow('ENOENT');
  });

  test('does so in npm start too, which then tells nobody to write the file', async () => {
    await using directory = await tmpDir();
    const path = await originalFile(directory.path);
    const listeners = ['GRPC', 'HTTP', 'STATUS'].map((name) => [`CIRC_TIER_${name}_LISTEN`, '127.0.0.1:0']);
    const env = environment(directory.path, Object.fromEntries(listeners) as Record<string, string>);
    await using program = new Program('scripts/start.ts', { env, cwd: directory.path });
    const mirror = await program.says(/mirror for containerd\s+(http:\S+)/);
    expect(await program.says(/The hosts.toml files in (\S+) are managed/)).toBe(join(directory.path, 'certs.d'));
    expect(await firstHost(path)).toBe(mirror);
    program.kill('SIGTERM');
    const { stderr } = await program.exited();
    expect(stderr).not.toContain('put this into');
  });

  test('serves on where it cannot write, and says so in the log and in the metrics', async () => {
    await using directory = await tmpDir();
    await writeFile(join(directory.path, 'certs.d'), 'no directory');
    await using house = await startHouse({ agent: { CIRC_CONTAINERD_CERTS_DIR: join(directory.path, 'certs.d') } });
    await house.origin.addImage('org/app', 'v1', { layers: [generatedBlob(1_000)] });
    expect((await house.pull('org/app', 'v1')).bytes).toBeGreaterThan(1_000);
    const metrics = await scrape(formatAddress(house.agent.status));
    expect(metrics.sum('circ_hosts_toml_files', { state: 'unwritable' })).toBe(1);
    expect(house.log.filter(({ msg }) => String(msg).includes('cannot be written'))).toHaveLength(1);
  });
});
