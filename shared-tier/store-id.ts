import { randomUUID } from 'node:crypto';
import { readFile, rename, writeFile } from 'node:fs/promises';
import type { Layout } from '../content/layout.ts';

/**
 * The random id of a store, made when the store is new. Replicas tell it to each other: those with different ones would
 * wait for content that never comes. One that cannot be kept now is another one after the next start.
 */
export async function readStoreId(layout: Layout): Promise<string> {
  const known = (await readFile(layout.id, 'utf8').catch(() => '')).trim();
  if (known !== '') return known;
  const made = randomUUID();
  const temporary = layout.temporary();
  await writeFile(temporary, `${made}\n`)
    .then(() => rename(temporary, layout.id))
    .catch(() => undefined);
  return made;
}
