import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { run } from '../support/house-process.ts';
import { tmpDir } from '../support/tmp-dir.ts';

/** The one task there is: of the agent. */
describe('a task', () => {
  test('is told by --help, where it is known', async () => {
    const [agent, tier] = await Promise.all(
      ['agent/main.ts', 'shared-tier/main.ts'].map((file) => run(file, { args: ['--help'] })),
    );
    expect(agent?.stdout).toContain('--uninstall (makes the hosts.toml files what they were');
    expect(tier?.stdout).not.toContain('--uninstall');
  });

  test('is refused where it is not known', async () => {
    const { code, stderr } = await run('shared-tier/main.ts', { args: ['--uninstall'] });
    expect([code, stderr]).toEqual([2, expect.stringContaining("Unknown option '--uninstall'")]);
  });

  test('ends with 2 and names the setting that it needs', async () => {
    const { code, stdout, stderr } = await run('agent/main.ts', { args: ['--uninstall'] });
    expect([code, stdout]).toEqual([2, '']);
    expect(stderr).toContain('CIRC_CONTAINERD_CERTS_DIR: expected');
  });

  test('ends with 0 when it is done, and does not serve', async () => {
    await using directory = await tmpDir();
    const env = { CIRC_CONTAINERD_CERTS_DIR: directory.path, CIRC_AGENT_CACHE_DIR: join(directory.path, 'cache') };
    const { code, stdout, stderr } = await run('agent/main.ts', { args: ['--uninstall'], env });
    expect([code, stdout, stderr]).toEqual([0, '', '']);
    await expect(readFile(join(directory.path, 'cache'))).rejects.toThrow('ENOENT');
  });

  test('ends with 1 and tells why when it fails', async () => {
    await using directory = await tmpDir();
    const path = join(directory.path, 'certs.d');
    await writeFile(path, 'no directory');
    const { code, stderr } = await run('agent/main.ts', {
      args: ['--uninstall'],
      env: { CIRC_CONTAINERD_CERTS_DIR: path },
    });
    expect(code).toBe(1);
    expect(stderr).toContain('ENOTDIR');
  });
});
