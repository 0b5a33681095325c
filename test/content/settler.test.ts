import { expect, test } from 'vitest';
import { Settler } from '../../content/settler.ts';

/** A file on a disk that takes its time. */
function slowFile() {
  const synced = Promise.withResolvers<void>();
  return { ...synced, datasync: () => synced.promise };
}

test('one file is made durable at a time, and the next one can ask again, however that went', async () => {
  const settler = new Settler();
  const [first, second, third] = [slowFile(), slowFile(), slowFile()];
  const settling = settler.begin(first);
  expect([settling === undefined, settler.begin(second)]).toEqual([false, undefined]);
  first.reject(new Error('the disk is gone'));
  await settling;
  const next = settler.begin(second);
  expect([next === undefined, settler.begin(third)]).toEqual([false, undefined]);
  second.resolve();
  await next;
  expect(settler.begin(third)).toBeDefined();
});
