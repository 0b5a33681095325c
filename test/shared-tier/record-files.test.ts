import { readFile, readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { RecordFiles } from '../../shared-tier/record-files.ts';
import { tmpDir } from '../support/tmp-dir.ts';

async function recordFiles() {
  const directory = await tmpDir();
  const failures: unknown[] = [];
  let count = 0;
  const files = new RecordFiles(
    () => join(directory.path, `temporary-${(count += 1)}`),
    (error) => failures.push(error),
  );
  const path = join(directory.path, 'below/record.json');
  return { files, failures, path, directory, [Symbol.asyncDispose]: () => directory[Symbol.asyncDispose]() };
}

test('a record that changes all the time is written at once and at its end, not each time', async () => {
  await using it = await recordFiles();
  let value = 0;
  let asked = 0;
  const changeOften = (): void => {
    for (let times = 0; times < 500; times += 1) {
      value += 1;
      it.files.write(it.path, () => {
        asked += 1;
        return { value };
      });
    }
  };
  changeOften();
  await expect.poll(() => asked).toBe(1);
  changeOften();
  await it.files.settled();
  expect(JSON.parse(await readFile(it.path, 'utf8'))).toEqual({ value: 1_000 });
  expect(asked).toBeLessThanOrEqual(3);
});

test('a record that is gone by the end is removed, and one that came back is there', async () => {
  await using it = await recordFiles();
  const { path } = it;
  it.files.write(path, () => ({ value: 1 }));
  it.files.write(path, () => undefined);
  await it.files.settled();
  await expect(readFile(path)).rejects.toThrow('ENOENT');
  it.files.write(path, () => undefined);
  it.files.write(path, () => ({ value: 2 }));
  await it.files.settled();
  expect(JSON.parse(await readFile(path, 'utf8'))).toEqual({ value: 2 });
  expect(await readdir(it.directory.path)).toEqual(['below']);
});

test('a record that cannot be written is told of, and the next one is written', async () => {
  await using it = await recordFiles();
  it.files.write(it.path, () => {
    throw new Error('no record');
  });
  await it.files.settled();
  it.files.write(join(it.directory.path, 'x\0'), () => ({}));
  await it.files.settled();
  expect(it.failures).toHaveLength(2);
  it.files.write(it.path, () => ({ value: 3 }));
  await it.files.settled();
  expect(JSON.parse(await readFile(it.path, 'utf8'))).toEqual({ value: 3 });
});
