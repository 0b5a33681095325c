import { readdir } from 'node:fs/promises';
import { expect, test } from 'vitest';
import { inChapters } from '../../scripts/chapters.ts';
import config from '../../vitest.e2e.config.ts';

test('the end-to-end tests run by name, the cluster at the end', async () => {
  const names = (await readdir('test/e2e')).filter((name) => name.endsWith('.test.ts')).toSorted();
  const files = names.toReversed().map((name) => ({ moduleId: `/somewhere/test/e2e/${name}` }));
  const ordered = inChapters(files).map(({ moduleId }) => moduleId.slice('/somewhere/test/e2e/'.length));
  expect(ordered).toEqual([...names.filter((name) => name !== 'cluster.test.ts'), 'cluster.test.ts']);
  expect(config.test?.sequence?.sequencer?.name).toBe('Chapters');
});
