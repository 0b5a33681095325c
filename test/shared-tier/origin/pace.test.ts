import { expect, test } from 'vitest';
import { Pace } from '../../../shared-tier/origin/pace.ts';
import { forever } from '../fixtures.ts';

test('all users of a pace together stay below its rate', async () => {
  const pace = new Pace(1_000_000);
  const startedAt = performance.now();

  await Promise.all([1, 2, 3, 4].map(async () => await pace.spend(50_000, 'org/app', forever)));

  const tookMs = performance.now() - startedAt;
  expect(tookMs).toBeGreaterThan(190);
  expect(tookMs).toBeLessThan(1_000);
});

test('time in which nothing flowed is not made up for', async () => {
  const pace = new Pace(1_000_000);
  await pace.spend(1, 'org/app', forever);
  const startedAt = performance.now();

  await pace.spend(100_000, 'org/app', forever);

  expect(performance.now() - startedAt).toBeGreaterThan(90);
});

test('who waits for the pace is freed by its signal', async () => {
  const pace = new Pace(1);
  await expect(pace.spend(1_000_000, 'org/app', AbortSignal.timeout(20))).rejects.toThrow('aborted');
});

test('who uses it a lot waits longer than who uses it a little, not the other way round', async () => {
  const pace = new Pace(1_000_000);
  const ended: string[] = [];
  const spend = async (user: string): Promise<void> => {
    await pace.spend(10_000, user, forever);
    ended.push(user);
  };
  const many = Array.from({ length: 12 }, () => spend('org/big'));
  const few = [1, 2].map(() => spend('org/small'));
  await Promise.all([...many, ...few]);
  expect(ended.indexOf('org/small')).toBeLessThanOrEqual(2);
  expect(ended.lastIndexOf('org/small')).toBeLessThanOrEqual(4);
});
