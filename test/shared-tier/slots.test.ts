import { expect, test } from 'vitest';
import { Slots } from '../../shared-tier/slots.ts';
import { forever } from './fixtures.ts';

test('as many go in as there are slots, the others in order of arrival', async () => {
  const slots = new Slots(2);
  const entered: number[] = [];
  const enter = async (who: number): Promise<Disposable> => {
    const slot = await slots.take(forever);
    entered.push(who);
    return slot;
  };
  const [first] = await Promise.all([enter(1), enter(2)]);
  const [third, fourth] = [enter(3), enter(4)];
  expect(entered).toEqual([1, 2]);

  first[Symbol.dispose]();
  (await third)[Symbol.dispose]();
  await fourth;

  expect(entered).toEqual([1, 2, 3, 4]);
});

test('a slot given back twice is one slot', async () => {
  const slots = new Slots(1);
  const slot = await slots.take(forever);
  slot[Symbol.dispose]();
  slot[Symbol.dispose]();
  await slots.take(forever);
  await expect(slots.take(AbortSignal.timeout(20))).rejects.toThrow('timeout');
});

test('who stops waiting takes no slot away', async () => {
  const slots = new Slots(1);
  const slot = await slots.take(forever);
  await expect(slots.take(AbortSignal.timeout(10))).rejects.toThrow('timeout');
  const next = slots.take(forever);
  slot[Symbol.dispose]();
  (await next)[Symbol.dispose]();
  expect(await slots.take(forever)).toBeDefined();
});

test('who has gone already does not get in', async () => {
  await expect(new Slots(1).take(AbortSignal.abort(new Error('gone')))).rejects.toThrow('gone');
});
