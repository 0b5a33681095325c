import { setTimeout as sleep } from 'node:timers/promises';
import { expect, test } from 'vitest';
import { every } from '../../service/every.ts';

test('what is to be done again and again is, also after it has failed, and never twice at once', async () => {
  let [count, running, most] = [0, 0, 0];
  const errors: unknown[] = [];
  const work = async (): Promise<void> => {
    most = Math.max(most, (running += 1));
    await sleep(3); // longer than the pause
    running -= 1;
    count += 1;
    if (count === 2) throw new Error('the second time');
  };
  using timer = every(1, work, (error) => errors.push(error));
  await expect.poll(() => count).toBeGreaterThanOrEqual(5);
  expect([timer, most, errors]).toEqual([timer, 1, [new Error('the second time')]]);
});

test('what is to be done again and again ends when it is disposed, in the middle of it too', async () => {
  let count = 0;
  const begun = Promise.withResolvers<void>();
  const rest = Promise.withResolvers<void>();
  const timer = every(
    1,
    async () => {
      count += 1;
      begun.resolve();
      await rest.promise;
    },
    () => undefined,
  );
  await begun.promise;
  timer[Symbol.dispose]();
  rest.resolve();
  await sleep(20);
  expect(count).toBe(1);
});
