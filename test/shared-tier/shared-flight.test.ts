import { expect, test } from 'vitest';
import { SharedFlight } from '../../shared-tier/shared-flight.ts';

test('equal questions at once are asked once', async () => {
  const flight = new SharedFlight<number>();
  let asked = 0;
  const all = await Promise.all(Array.from({ length: 10 }, () => flight.run('a', () => Promise.resolve((asked += 1)))));
  expect([asked, new Set(all)]).toEqual([1, new Set([1])]);
});

test('different questions are asked each', async () => {
  const flight = new SharedFlight<string>();
  const ask = (key: string) => flight.run(key, () => Promise.resolve(key));
  expect(await Promise.all(['a', 'b'].map(ask))).toEqual(['a', 'b']);
});

test('a question is asked again when the answer is there', async () => {
  const flight = new SharedFlight<number>();
  let asked = 0;
  const ask = () => flight.run('a', () => Promise.resolve((asked += 1)));
  await ask();
  expect(await ask()).toBe(2);
});

test('a failure is everybody’s who waits, and nobody’s who comes after', async () => {
  const flight = new SharedFlight<string>();
  const fail = () => flight.run('a', () => Promise.reject(new Error('no')));
  const results = await Promise.allSettled([fail(), fail()]);
  expect(results.map(({ status }) => status)).toEqual(['rejected', 'rejected']);
  expect(await flight.run('a', () => Promise.resolve('yes'))).toBe('yes');
});
