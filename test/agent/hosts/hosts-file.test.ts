import { mkdir, readdir, rmdir, rm, symlink } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { type HostsFile, makeDirectory, readHostsFile, writeHostsFile } from '../../../agent/hosts/hosts-file.ts';
import { certsDir } from './fixtures.ts';

async function read(directory: string): Promise<HostsFile> {
  const file = await readHostsFile(directory);
  if ('unusable' in file) throw new Error(file.unusable);
  return file;
}

describe('writeHostsFile', () => {
  test('does nothing when the file has changed, come or gone since it was read', async () => {
    await using certs = await certsDir();
    const directory = dirname(await certs.write('docker.io/hosts.toml', 'a = 1\n'));
    const asItWas = await read(directory);
    await certs.write('docker.io/hosts.toml', 'a = 2\n');
    expect(await writeHostsFile(asItWas, Buffer.from('a = 3\n'))).toBe(false);
    expect(await certs.read('docker.io/hosts.toml')).toBe('a = 2\n');
    await rm(join(directory, 'hosts.toml'));
    expect(await writeHostsFile(asItWas, Buffer.from('a = 3\n'))).toBe(false);
    const asItWasNot = await read(directory);
    await certs.write('docker.io/hosts.toml', 'a = 4\n');
    expect(await writeHostsFile(asItWasNot, Buffer.from('a = 3\n'))).toBe(false);
    expect(await readdir(directory)).toEqual(['hosts.toml']);
  });

  test('does nothing when a link has taken the file´s place', async () => {
    await using certs = await certsDir();
    const directory = dirname(await certs.write('docker.io/hosts.toml', 'a = 1\n'));
    const asItWas = await read(directory);
    await rm(asItWas.path);
    await certs.write('../other.toml', 'a = 1\n');
    await symlink('../../other.toml', asItWas.path);
    expect(await writeHostsFile(asItWas, Buffer.from('a = 2\n'))).toBe(false);
    expect(await certs.read('../other.toml')).toBe('a = 1\n');
  });

  test('leaves nothing behind when it fails', async () => {
    await using certs = await certsDir();
    await mkdir(join(certs.path, 'docker.io'));
    const asItWas = await read(join(certs.path, 'docker.io'));
    // A directory in the file's place cannot be replaced.
    await mkdir(join(asItWas.path, 'x'), { recursive: true });
    expect(await writeHostsFile(asItWas, Buffer.from(''))).toBe(false);
    expect(await readdir(join(certs.path, 'docker.io'))).toEqual(['hosts.toml']);
  });
});

describe('makeDirectory', () => {
  test('makes what is missing, and counts it', async () => {
    await using certs = await certsDir();
    const path = join(certs.path, 'a/b/c');
    expect(await makeDirectory(path)).toBe(3);
    expect(await makeDirectory(path)).toBe(0);
    await rmdir(path);
    expect(await makeDirectory(path)).toBe(1);
    await symlink('a', join(certs.path, 'link'));
    expect(await makeDirectory(join(certs.path, 'link/b/c'))).toBe(0);
  });

  test('says what is in its way', async () => {
    await using certs = await certsDir();
    await certs.write('file', '');
    await symlink('nowhere', join(certs.path, 'link'));
    await expect(makeDirectory(join(certs.path, 'file'))).rejects.toThrow('EEXIST');
    await expect(makeDirectory(join(certs.path, 'file/below'))).rejects.toThrow('ENOTDIR');
    for (const name of ['link', 'link/below']) {
      await expect(makeDirectory(join(certs.path, name))).rejects.toThrow('EEXIST');
    }
    expect((await readdir(certs.path)).toSorted()).toEqual(['file', 'link']);
  });
});
