import { setImmediate as turn } from 'node:timers/promises';
import { expect, test } from 'vitest';
import { OneByOne } from '../../shared-tier/one-by-one.ts';

test('work under one name does not overlap, whatever becomes of it; under another name it may', async () => {
  const oneByOne = new OneByOne();
  const log: string[] = [];
  const work = async (name: string, step: string): Promise<string> =>
    await oneByOne.run(name, async () => {
      log.push(`${step} begins`);
      await turn();
      log.push(`${step} ends`);
      if (step === 'a2') throw new Error('a2 failed');
      return step;
    });
  const all = await Promise.allSettled([work('a', 'a1'), work('a', 'a2'), work('b', 'b1'), work('a', 'a3')]);
  expect(all.map(({ status }) => status)).toEqual(['fulfilled', 'rejected', 'fulfilled', 'fulfilled']);
  const ofA = log.filter((line) => line.startsWith('a'));
  expect(ofA).toEqual(['a1 begins', 'a1 ends', 'a2 begins', 'a2 ends', 'a3 begins', 'a3 ends']);
  expect(log.indexOf('b1 begins')).toBeLessThan(log.indexOf('a1 ends'));
});
