import { rename, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { TokenFile } from '../../agent/token-file.ts';
import { tmpDir } from '../support/tmp-dir.ts';

async function fileWith(text: string) {
  const directory = await tmpDir();
  const path = join(directory.path, 'token');
  await writeFile(path, text);
  return { path, [Symbol.asyncDispose]: () => directory[Symbol.asyncDispose]() };
}

test('a token is read without what surrounds it, and again as it is renewed', async () => {
  await using file = await fileWith('one\n');
  const token = new TokenFile(file.path, { rereadMs: 0 });
  expect(await token.current()).toBe('one');
  await writeFile(`${file.path}.next`, 'two');
  await rename(`${file.path}.next`, file.path);
  expect(await token.current()).toBe('two');
});

test('a token is not read for every question', async () => {
  await using file = await fileWith('one');
  const token = new TokenFile(file.path, { rereadMs: 60_000 });
  expect(await Promise.all([token.current(), token.current()])).toEqual(['one', 'one']);
  await rm(file.path);
  expect(await token.current()).toBe('one');
});

test.each(['', '  \n', 'two words', 'line\r\nbreak', 'ünsafe'])('%j is no token', async (text) => {
  await using file = await fileWith(text);
  await expect(new TokenFile(file.path).current()).rejects.toMatchObject({ code: 'UNAVAILABLE' });
});

test('a token that comes late is found at the next question', async () => {
  await using file = await fileWith('');
  const token = new TokenFile(file.path, { rereadMs: 60_000 });
  await expect(token.current()).rejects.toMatchObject({ code: 'UNAVAILABLE' });
  await writeFile(file.path, 'one');
  expect(await token.current()).toBe('one');
});
