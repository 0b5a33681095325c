import { mkdir, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { DirectoryWatch } from '../../../agent/hosts/directory-watch.ts';
import { tmpDir } from '../../support/tmp-dir.ts';

describe('DirectoryWatch', () => {
  test('looks after a change, once for many, and not on its own account', async () => {
    await using directory = await tmpDir();
    let looks = 0;
    await using watch = new DirectoryWatch({
      quietMs: 200,
      pollMs: 60_000,
      look: async () => {
        looks += 1;
      },
      list: async () => [directory.path],
    });
    await watch.lookNow();
    for (let at = 0; at < 20; at += 1) await writeFile(join(directory.path, `${at}`), '');
    await expect.poll(() => looks).toBe(2);
    await writeFile(join(directory.path, 'last'), '');
    await expect.poll(() => looks).toBe(3);
  });

  test('looks at last, also when there is never quiet', async () => {
    let looks = 0;
    await using watch = new DirectoryWatch({
      quietMs: 30,
      pollMs: 60_000,
      look: async () => {
        looks += 1;
      },
      list: async () => [],
    });
    const noise = setInterval(() => watch.soon(), 5);
    await expect.poll(() => looks).toBeGreaterThan(0);
    clearInterval(noise);
  });

  test('follows a directory that is made anew under its name', async () => {
    await using directory = await tmpDir();
    const path = join(directory.path, 'certs.d');
    await mkdir(path);
    let looks = 0;
    await using watch = new DirectoryWatch({
      quietMs: 5,
      pollMs: 60_000,
      look: async () => {
        looks += 1;
      },
      list: async () => [directory.path, path],
    });
    await watch.lookNow();
    for (let times = 0; times < 5; times += 1) {
      const before = looks;
      await rm(path, { recursive: true });
      await mkdir(path);
      await expect.poll(() => looks).toBeGreaterThan(before);
      const between = looks;
      await writeFile(join(path, 'file'), '');
      await expect.poll(() => looks).toBeGreaterThan(between);
    }
  });

  test('polls where nothing is told, until it ends', async () => {
    let looks = 0;
    await using watch = new DirectoryWatch({
      quietMs: 5,
      pollMs: 25,
      look: async () => {
        looks += 1;
      },
      list: async () => ['/no/such/directory'],
    });
    await expect.poll(() => looks).toBeGreaterThan(3);
    await watch[Symbol.asyncDispose]();
    const atTheEnd = looks;
    watch.soon();
    let others = 0;
    await using other = new DirectoryWatch({
      quietMs: 5,
      pollMs: 25,
      look: async () => {
        others += 1;
      },
      list: async () => [],
    });
    await other.lookNow();
    await expect.poll(() => others).toBeGreaterThan(4);
    expect(looks).toBe(atTheEnd);
  });

  test('never looks twice at a time', async () => {
    let running = 0;
    let most = 0;
    let looks = 0;
    await using watch = new DirectoryWatch({
      quietMs: 1,
      pollMs: 2,
      look: async () => {
        running += 1;
        most = Math.max(most, running);
        await new Promise((resolve) => setTimeout(resolve, 15));
        running -= 1;
        looks += 1;
      },
      list: async () => [],
    });
    await watch.lookNow();
    await expect.poll(() => looks).toBeGreaterThan(4);
    expect(most).toBe(1);
  });
});
