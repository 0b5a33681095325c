import { chmod, lstat, mkdir, readFile, readdir, rmdir, symlink, unlink, utimes } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { uninstallHosts } from '../../../agent/hosts/uninstall.ts';
import { type CertsDir, MIRROR, TABLE, certsDir, withoutPrivileges } from './fixtures.ts';

/** Everything below the directory, with types, modes and bytes. */
async function contentOf(certs: CertsDir): Promise<Record<string, string>> {
  const content: Record<string, string> = {};
  for (const entry of await readdir(certs.path, { recursive: true, withFileTypes: true })) {
    const path = join(entry.parentPath, entry.name).slice(certs.path.length + 1);
    const { mode } = await lstat(join(certs.path, path));
    content[path] = `${mode.toString(8)} ${entry.isFile() ? await certs.read(path) : ''}`;
  }
  return content;
}

async function keepAndEnd(certs: CertsDir, mirror = MIRROR): Promise<void> {
  const keeper = await certs.keep({ mirror });
  await keeper[Symbol.asyncDispose]();
}

describe('uninstallHosts', () => {
  test('makes the directory what it was, byte for byte', async () => {
    await using certs = await certsDir();
    await certs.write('docker.io/hosts.toml', 'server = "https://a"\r\n# near\r\n[host."https://near"]\r\n');
    await certs.write('ghcr.io/hosts.toml', 'server = "https://no-line-end"');
    await certs.write('quay.io/ca.crt', 'a certificate');
    await certs.write('empty.example/hosts.toml', '');
    await certs.write('broken.example/hosts.toml', 'server = \n');
    await certs.write('latin.example/hosts.toml', Buffer.from([0x23, 0xff, 0x0a]));
    await mkdir(join(certs.path, 'bare.example'));
    await certs.write('../outside.toml', 'server = "https://linked"\n');
    await mkdir(join(certs.path, 'linked.example'));
    await symlink('../../outside.toml', join(certs.path, 'linked.example/hosts.toml'));
    await chmod(await certs.write('mode.example/hosts.toml', '# x\n'), 0o600);
    const before = await contentOf(certs);
    await keepAndEnd(certs);
    const between = await contentOf(certs);
    expect(Object.values(between).filter((each) => each.includes(TABLE.split('\n', 1).join()))).toHaveLength(7);
    expect(await certs.read('../outside.toml')).toContain(TABLE);
    await uninstallHosts(certs.path, MIRROR.url, certs.logger);
    expect(await contentOf(certs)).toEqual(before);
    expect(await certs.read('../outside.toml')).toBe('server = "https://linked"\n');
  });

  test('removes the directories that were made, but none that holds something', async () => {
    await using certs = await certsDir();
    await rmdir(certs.path);
    await keepAndEnd(certs);
    await uninstallHosts(certs.path, MIRROR.url, certs.logger);
    expect(await readdir(dirname(certs.path))).toEqual([]);
    await keepAndEnd(certs);
    await certs.write('_default/ca.crt', '');
    await uninstallHosts(certs.path, MIRROR.url, certs.logger);
    expect(await readdir(certs.path, { recursive: true })).toEqual(['_default', '_default/ca.crt']);
  });

  test('leaves the lines of an agent at another URL, and what one has made for both', async () => {
    await using certs = await certsDir();
    const other = { url: 'http://127.0.0.1:6060' };
    await keepAndEnd(certs);
    await keepAndEnd(certs, other);
    await uninstallHosts(certs.path, MIRROR.url, certs.logger);
    expect(await certs.read('_default/hosts.toml')).toContain(other.url);
    expect(await certs.read('_default/hosts.toml')).not.toContain(MIRROR.url);
    await uninstallHosts(certs.path, other.url, certs.logger);
    expect(await readdir(certs.path)).toEqual([]);
  });

  test('restores what has become broken, or no text, since', async () => {
    await using certs = await certsDir();
    await certs.write('docker.io/hosts.toml', '# a\n');
    await keepAndEnd(certs);
    const garbage = Buffer.concat([Buffer.from((await certs.read('docker.io/hosts.toml')) ?? ''), Buffer.from([0xff])]);
    const path = await certs.write('docker.io/hosts.toml', garbage);
    await uninstallHosts(certs.path, MIRROR.url, certs.logger);
    expect(await readFile(path)).toEqual(Buffer.from([...Buffer.from('# a\n'), 0xff]));
  });

  test.each([-3_600, 0, 3_600])('removes what an agent killed %i s from now has left half written', async (seconds) => {
    await using certs = await certsDir();
    const at = new Date(Date.now() + 1_000 * seconds);
    await utimes(await certs.write('docker.io/.hosts.toml.circ-0', 'half'), at, at);
    await uninstallHosts(certs.path, MIRROR.url, certs.logger);
    expect(await readdir(join(certs.path, 'docker.io'))).toEqual([]);
  });

  test('does nothing where there is nothing of ours, or no directory', async () => {
    await using certs = await certsDir();
    await certs.write('docker.io/hosts.toml', TABLE);
    await uninstallHosts(certs.path, MIRROR.url, certs.logger);
    expect(await certs.read('docker.io/hosts.toml')).toBe(TABLE);
    await uninstallHosts(join(certs.path, 'none'), MIRROR.url, certs.logger);
    expect(certs.log).toEqual([]);
  });

  test('restores what it can, and names what it cannot', async () => {
    await using certs = await certsDir();
    const locked = await certs.write('docker.io/hosts.toml', '# a\n');
    await certs.write('quay.io/hosts.toml', '# a\n');
    await keepAndEnd(certs);
    await chmod(dirname(certs.path), 0o755);
    for (const name of ['.', '_default', 'quay.io']) await chmod(join(certs.path, name), 0o777);
    for (const name of ['_default', 'quay.io']) await chmod(join(certs.path, name, 'hosts.toml'), 0o666);
    await chmod(dirname(locked), 0o555);
    using unprivileged = withoutPrivileges();
    await makeOwn(certs, ['quay.io']);
    await expect(uninstallHosts(certs.path, MIRROR.url, certs.logger)).rejects.toThrow(locked);
    unprivileged[Symbol.dispose]();
    expect(await certs.read('quay.io/hosts.toml')).toBe('# a\n');
    expect(await certs.read('docker.io/hosts.toml')).toContain(TABLE);
    await chmod(dirname(locked), 0o777);
  });
});

/** Only root gives files away: who is somebody else makes the files its own, to be able to keep their owner. */
async function makeOwn(certs: CertsDir, names: readonly string[]): Promise<void> {
  for (const name of names) {
    const text = (await certs.read(`${name}/hosts.toml`)) ?? '';
    await unlink(join(certs.path, name, 'hosts.toml'));
    await certs.write(`${name}/hosts.toml`, text);
  }
}
