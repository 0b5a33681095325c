import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { readdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { DirectoryLock } from '../../content/directory-lock.ts';
import { tmpDir } from '../support/tmp-dir.ts';

const source = new URL('../../content/directory-lock.ts', import.meta.url).href;

/** Another process that holds the lock of a directory, until it is killed. */
async function holder(directory: string) {
  const code = `
    const { DirectoryLock } = await import(${JSON.stringify(source)});
    globalThis.lock = DirectoryLock.take(${JSON.stringify(directory)});
    process.stdout.write('held');
    setInterval(() => undefined, 1_000);`;
  const child = spawn(process.execPath, ['--input-type=module', '-e', code], { stdio: ['ignore', 'pipe', 'inherit'] });
  const closed = once(child, 'close');
  const kill = async (): Promise<void> => {
    child.kill('SIGKILL');
    await closed;
  };
  await Promise.race([once(child.stdout, 'data'), closed]);
  return { kill, [Symbol.asyncDispose]: kill };
}

describe('the lock of a directory', () => {
  test('is had by one process only, and the other one is told which directory it is about', async () => {
    await using directory = await tmpDir();
    await using other = await holder(directory.path);
    expect(() => DirectoryLock.take(directory.path)).toThrow(
      `the directory ${directory.path} is in use by another process`,
    );
    await other.kill();
    DirectoryLock.take(directory.path)[Symbol.dispose]();
  });

  test('is free at once after kill -9 of who had it', async () => {
    await using directory = await tmpDir();
    for (let round = 0; round < 3; round += 1) {
      const other = await holder(directory.path);
      await other.kill();
      using lock = DirectoryLock.take(directory.path);
      expect(lock).toBeDefined();
    }
  });

  test('is had once within a process, too, and can be had again when it was given back', async () => {
    await using directory = await tmpDir();
    {
      using lock = DirectoryLock.take(directory.path);
      expect(lock).toBeDefined();
      expect(() => DirectoryLock.take(directory.path)).toThrow('is in use');
      expect(() => DirectoryLock.take(directory.path)).toThrow('is in use'); // a refusal gives nothing back
    }
    DirectoryLock.take(directory.path)[Symbol.dispose]();
  });

  test('leaves one empty file and says nothing', async () => {
    await using directory = await tmpDir();
    using lock = DirectoryLock.take(join(directory.path, 'deep', 'cache'));
    expect([lock, await readdir(join(directory.path, 'deep', 'cache'))]).toEqual([lock, ['lock']]);
  });

  test('of a directory that cannot be used is refused with that reason', async () => {
    await using directory = await tmpDir();
    const file = join(directory.path, 'file');
    await writeFile(file, 'x');
    expect(() => DirectoryLock.take(file)).toThrow(`the directory ${file} cannot be used`);
    expect(() => DirectoryLock.take('/sys/circ')).toThrow('the directory /sys/circ cannot be used');
  });
});
