import { expect, test } from 'vitest';
import { Seldom } from '../../service/seldom.ts';
import { takeClock } from '../support/house-clock.ts';

test('what happens often is told once in ten minutes, with how often it was, each kind by itself', async () => {
  using clock = takeClock();
  const seldom = new Seldom();
  const told: [string, number][] = [];
  const happened = (kind: string): void => seldom.happened(kind, (times) => told.push([kind, times]));
  for (let time = 0; time < 5; time += 1) happened('disk full');
  happened('other');
  expect(told).toEqual([
    ['disk full', 1],
    ['other', 1],
  ]);
  await clock.forward(10 * 60_000);
  happened('disk full');
  happened('disk full');
  expect(told.slice(2)).toEqual([['disk full', 5]]);
});
