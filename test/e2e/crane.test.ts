import { join } from 'node:path';
import { expect, test } from 'vitest';
import { images } from '../../scripts/lab/images.ts';
import { REGISTRY } from '../../scripts/lab/lab.ts';
import { expectedLayout, readLayout } from './layout.ts';
import { openLab } from './support.ts';

test('crane pulls by the path form from the shared tier', async () => {
  await using lab = await openLab();
  const directory = join(lab.directory, 'layout');
  const reference = `127.0.0.1:5061/${REGISTRY}/${images.debian}`;
  await lab.crane(lab.network.hub, 'pull', '--format', 'oci', reference, directory);
  expect(await readLayout(directory)).toEqual(await expectedLayout(lab, images.debian));
});

test('crane finds an index and everything below it valid', async () => {
  await using lab = await openLab();
  const reference = `127.0.0.1:5061/${REGISTRY}/${images.multi}`;
  expect(await lab.crane(lab.network.hub, 'digest', reference)).toBe(await lab.digest(images.multi));
  expect(await lab.crane(lab.network.hub, 'validate', '--remote', reference)).toMatch(/^PASS: /);
});
