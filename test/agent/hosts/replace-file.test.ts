import { mkdir, readFile, readdir, stat, utimes } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { removeLeftovers, replaceFile } from '../../../agent/hosts/replace-file.ts';
import { certsDir } from './fixtures.ts';

describe('replaceFile', () => {
  test('makes a file that everybody may read, or gives it the mode of another', async () => {
    await using certs = await certsDir();
    const path = join(certs.path, 'a');
    expect(await replaceFile(path, Buffer.from('one'))).toBe(true);
    expect((await stat(path)).mode & 0o777).toBe(0o644);
    const like = await stat(await certs.write('b', ''));
    expect(await replaceFile(path, Buffer.from('two'), { like: Object.assign(like, { mode: 0o600 }) })).toBe(true);
    expect((await stat(path)).mode & 0o777).toBe(0o600);
    expect(await readFile(path, 'utf8')).toBe('two');
  });

  test('leaves nothing behind when it is not right any more, or cannot be done', async () => {
    await using certs = await certsDir();
    const path = await certs.write('a', 'one');
    expect(await replaceFile(path, Buffer.from('two'), { isStillRight: async () => false })).toBe(false);
    await mkdir(join(certs.path, 'taken/x'), { recursive: true });
    await expect(replaceFile(join(certs.path, 'taken'), Buffer.from(''))).rejects.toThrow(/EISDIR|ENOTEMPTY/);
    expect(await certs.read('a')).toBe('one');
    expect((await readdir(certs.path)).toSorted()).toEqual(['a', 'taken']);
  });
});

describe('removeLeftovers', () => {
  test('removes old half-written files, and not what another agent writes now', async () => {
    await using certs = await certsDir();
    const old = await certs.write('docker.io/.hosts.toml.circ-old', '');
    await utimes(old, 1, 1);
    for (const name of ['.hosts.toml.circ-new', 'hosts.toml', '.hosts.toml'])
      await certs.write(`docker.io/${name}`, '');
    await removeLeftovers(dirname(old), 60_000);
    expect((await readdir(dirname(old))).toSorted()).toEqual(['.hosts.toml', '.hosts.toml.circ-new', 'hosts.toml']);
  });
});
