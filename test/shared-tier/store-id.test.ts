import { mkdir, readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { Layout } from '../../content/layout.ts';
import { readStoreId } from '../../shared-tier/store-id.ts';
import { tmpDir } from '../support/tmp-dir.ts';

test('a store has one id for all its life, and every store another one', async () => {
  await using directory = await tmpDir();
  const layouts = ['a', 'b'].map((name) => new Layout(join(directory.path, name)));
  for (const { ingests } of layouts) await mkdir(ingests, { recursive: true });
  const ids = await Promise.all(layouts.map(readStoreId));
  expect(new Set(ids).size).toBe(2);
  expect(await Promise.all(layouts.map(readStoreId))).toEqual(ids);
  for (const { ingests } of layouts) expect(await readdir(ingests)).toEqual([]);
});

test('a store whose id cannot be kept has one all the same', async () => {
  expect(await readStoreId(new Layout('/proc/no-such-directory'))).toMatch(/^[0-9a-f-]{36}$/);
});
