import { chmod, chown, lstat, mkdir, readlink, rmdir, stat, symlink, unlink, utimes } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { MIRROR, TABLE, certsDir, withoutPrivileges } from './fixtures.ts';

const OTHER = { url: 'http://127.0.0.1:6060' };
const LEADS = /leads to this agent$/;

describe('at its start, the keeper', () => {
  test('makes _default, and hosts.toml in every directory that has none and so would hide it', async () => {
    await using certs = await certsDir();
    await mkdir(join(certs.path, 'docker.io'));
    await mkdir(join(certs.path, 'registry.example_5000_'));
    await certs.keep();
    for (const name of ['_default', 'docker.io', 'registry.example_5000_']) {
      const text = await certs.read(`${name}/hosts.toml`);
      expect(text).toContain(TABLE);
      expect(text).not.toContain('server');
    }
    expect((await stat(join(certs.path, '_default/hosts.toml'))).mode & 0o777).toBe(0o644);
    expect(certs.lines(LEADS)).toHaveLength(3);
    expect((await certs.metrics()).sum('circ_hosts_toml_files', { state: 'managed' })).toBe(3);
  });

  test('makes the directory itself', async () => {
    await using certs = await certsDir();
    await rmdir(certs.path);
    await certs.keep();
    expect(await certs.read('_default/hosts.toml')).toContain('directories: 2');
  });

  test('goes first in files that are there, and keeps the rest, mode and owner', async () => {
    await using certs = await certsDir();
    const path = await certs.write('docker.io/hosts.toml', 'server = "https://a"\r\n[host."https://near"]\r\n');
    await chmod(path, 0o640);
    if (process.getuid?.() === 0) await chown(path, 65_534, 65_533);
    const before = await stat(path);
    await certs.keep();
    expect(await certs.read('docker.io/hosts.toml')).toMatch(
      /^server = "https:\/\/a"\r\n#.*\r\n\[host."http:[^]*near"\]\r\n$/,
    );
    expect(await stat(path)).toMatchObject({ mode: before.mode, uid: before.uid, gid: before.gid });
  });

  test('names certificates beside a file that it makes', async () => {
    await using certs = await certsDir();
    for (const name of ['a.crt', 'b.cert', 'b.key', 'c.cert', 'notes.txt']) await certs.write(`docker.io/${name}`, '');
    await certs.keep();
    expect(await certs.read('docker.io/hosts.toml')).toContain(
      '\nca = ["a.crt"]\nclient = [["b.cert","b.key"],["c.cert","c.cert"]]\n#',
    );
  });

  test('looks at nothing that is no registry´s directory', async () => {
    await using certs = await certsDir();
    for (const name of ['_backup', '.git', 'lost+found', 'a b']) await mkdir(join(certs.path, name));
    await certs.write('ca.pem', '');
    await symlink('nowhere', join(certs.path, 'quay.io'));
    await certs.keep();
    expect(certs.lines(/./).map(({ file }) => file)).toEqual([join(certs.path, '_default/hosts.toml')]);
    for (const name of ['_backup', '.git', 'lost+found', 'a b']) await rmdir(join(certs.path, name));
    expect(await readlink(join(certs.path, 'quay.io'))).toBe('nowhere');
  });

  test('leaves a file that names the mirror itself as it is', async () => {
    await using certs = await certsDir();
    const texts = [`${TABLE}[host."https://near"]\n`, `[host."https://near"]\n${TABLE}`] as const;
    await certs.write('docker.io/hosts.toml', texts[0]);
    await certs.write('quay.io/hosts.toml', texts[1]);
    await certs.keep();
    expect([await certs.read('docker.io/hosts.toml'), await certs.read('quay.io/hosts.toml')]).toEqual(texts);
    expect(certs.lines(/another host first/)).toMatchObject([{ file: join(certs.path, 'quay.io/hosts.toml') }]);
    expect((await certs.metrics()).sum('circ_hosts_toml_files', { state: 'own' })).toBe(2);
  });

  test.each([
    ['that is broken', Buffer.from('server = \n'), /line 1/, /ignores this file: it pulls from docker.io straight/],
    ['that is not UTF-8', Buffer.from([0x23, 0xff, 0x0a]), /UTF-8/, /ignores/],
    ['that is far too large', Buffer.alloc(1024 * 1024 + 1, '#'), /too large/, /ignores/],
    ['into which no table can be put', Buffer.from('host = {}\n'), /our lines cannot be put in/, /follows this file/],
  ])('leaves a file %s as it is, and says once what that means', async (_what, bytes, reason, effect) => {
    await using certs = await certsDir();
    const path = await certs.write('docker.io/hosts.toml', bytes);
    const before = await stat(path);
    await certs.keep({ pollMs: 25 });
    await mkdir(join(certs.path, 'quay.io'));
    await expect.poll(() => certs.read('quay.io/hosts.toml')).toContain(TABLE);
    expect(await certs.read('docker.io/hosts.toml')).toBe(bytes.toString());
    expect(await stat(path)).toMatchObject({ ino: before.ino, mtimeMs: before.mtimeMs });
    expect(certs.lines(/left as it is/)).toMatchObject([
      { file: path, reason: expect.stringMatching(reason) as string, effect: expect.stringMatching(effect) as string },
    ]);
    expect((await certs.metrics()).sum('circ_hosts_toml_files', { state: 'left' })).toBe(1);
  });
});

describe('where there are links, the keeper', () => {
  test('writes where they lead, keeps them, and says where it wrote', async () => {
    await using certs = await certsDir();
    const target = join(certs.path, '../shared.toml');
    await certs.write('../shared.toml', 'server = "https://a"\n');
    await mkdir(join(certs.path, 'docker.io'));
    await symlink('../../shared.toml', join(certs.path, 'docker.io/hosts.toml'));
    await mkdir(join(certs.path, '../elsewhere'));
    await symlink('../elsewhere', join(certs.path, 'quay.io'));
    await certs.keep();
    expect((await lstat(join(certs.path, 'docker.io/hosts.toml'))).isSymbolicLink()).toBe(true);
    expect((await lstat(join(certs.path, 'quay.io'))).isSymbolicLink()).toBe(true);
    expect(await certs.read('../shared.toml')).toContain(TABLE);
    expect(await certs.read('../elsewhere/hosts.toml')).toContain(TABLE);
    expect(certs.lines(LEADS).find(({ file }) => String(file).includes('docker.io'))).toMatchObject({ target });
  });

  test('makes nothing where a file´s link leads nowhere, and says so', async () => {
    await using certs = await certsDir();
    await mkdir(join(certs.path, 'docker.io'));
    const path = join(certs.path, 'docker.io/hosts.toml');
    await symlink('../../outside.toml', path);
    await certs.keep();
    expect(await certs.read('../outside.toml')).toBeUndefined();
    expect(await readlink(path)).toBe('../../outside.toml');
    expect(certs.lines(/left as it is/)).toMatchObject([{ file: path, reason: 'it is a link that leads nowhere' }]);
  });

  test('does not look into what is no file', async () => {
    await using certs = await certsDir();
    await mkdir(join(certs.path, 'docker.io/hosts.toml'), { recursive: true });
    await certs.keep();
    expect(certs.lines(/left as it is/)).toMatchObject([{ reason: 'it is no file' }]);
  });
});

describe('where it may not write, the keeper', () => {
  test('tells it once, with all files and what to do, and writes when it may', async () => {
    await using certs = await certsDir();
    const path = await certs.write('docker.io/hosts.toml', 'server = "https://a"\n');
    await utimes(path, 1, 1);
    await mkdir(join(certs.path, 'quay.io'));
    await chmod(join(certs.path, 'quay.io'), 0o777);
    await chmod(dirname(certs.path), 0o755);
    for (const each of [certs.path, dirname(path)]) await chmod(each, 0o555);
    using unprivileged = withoutPrivileges();
    await certs.keep({ pollMs: 25 });
    await unlink(join(certs.path, 'quay.io/hosts.toml'));
    await expect.poll(() => certs.read('quay.io/hosts.toml')).toContain(TABLE);
    expect(await certs.read('docker.io/hosts.toml')).toBe('server = "https://a"\n');
    expect(certs.lines(/cannot be written/)).toMatchObject([
      {
        files: [join(certs.path, '_default/hosts.toml'), path],
        code: 'EACCES',
        lines: [`[host."${MIRROR.url}"]`, '  capabilities = ["pull", "resolve"]', '  dial_timeout = "5s"'],
      },
    ]);
    expect((await certs.metrics()).sum('circ_hosts_toml_files', { state: 'unwritable' })).toBe(2);
    unprivileged[Symbol.dispose]();
    for (const each of [certs.path, dirname(path)]) await chmod(each, 0o777);
    await expect.poll(() => certs.read('_default/hosts.toml')).toContain(TABLE);
    await expect.poll(() => certs.read('docker.io/hosts.toml')).toContain(TABLE);
    expect(certs.lines(/cannot be written/)).toHaveLength(1);
    await expect.poll(async () => (await certs.metrics()).sum('circ_hosts_toml_files', { state: 'managed' })).toBe(3);
  });

  test('tells that the directory is none', async () => {
    await using certs = await certsDir();
    await rmdir(certs.path);
    await certs.write('../certs.d', '');
    await certs.keep();
    expect(certs.lines(/cannot be written/)).toHaveLength(1);
  });
});

describe('two agents in one directory', () => {
  test('come to rest, each with its own lines, and mend only those', async () => {
    await using certs = await certsDir();
    await certs.write('docker.io/hosts.toml', '[host."https://near"]\n');
    await certs.keep({ pollMs: 25 });
    await certs.keep({ pollMs: 25, mirror: OTHER });
    const both = (await certs.read('docker.io/hosts.toml')) ?? '';
    expect(both).toContain(TABLE);
    expect(both).toContain(TABLE.replace('5050', '6060'));
    await mkdir(join(certs.path, 'quay.io'));
    await expect.poll(() => certs.read('quay.io/hosts.toml')).toContain(MIRROR.url);
    await expect.poll(() => certs.read('quay.io/hosts.toml')).toContain(OTHER.url);
    expect(await certs.read('docker.io/hosts.toml')).toBe(both);
    await certs.write('docker.io/hosts.toml', '[host."https://near"]\n');
    await expect.poll(() => certs.read('docker.io/hosts.toml')).toContain(MIRROR.url);
    await expect.poll(() => certs.read('docker.io/hosts.toml')).toContain(OTHER.url);
    expect(await certs.read('docker.io/hosts.toml')).toMatch(/\[host."https:\/\/near"\]\n$/);
  });
});

describe('at its end, the keeper', () => {
  test('leaves the files as they are', async () => {
    await using certs = await certsDir();
    const keeper = await certs.keep();
    await keeper[Symbol.asyncDispose]();
    expect(await certs.read('_default/hosts.toml')).toContain(TABLE);
  });
});
