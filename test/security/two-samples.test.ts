import { expect, test } from 'vitest';
import { mannWhitneyZ, randoms } from './two-samples.ts';

/** Latencies as they are: around 1 ms, some of them ten times as long. */
function latencies(count: number, seed: number, laterMs = 0): number[] {
  const random = randoms(seed);
  return Array.from({ length: count }, () => laterMs + 1 + random() * 0.3 + (random() < 0.05 ? random() * 10 : 0));
}

test('equal distributions do not differ, however often one looks', () => {
  const zs = Array.from({ length: 50 }, (_, run) => mannWhitneyZ(latencies(2_000, run), latencies(2_000, 1_000 + run)));
  expect(Math.max(...zs.map((z) => Math.abs(z)))).toBeLessThan(4);
});

test('a difference of 20 microseconds in a millisecond is seen', () => {
  expect(mannWhitneyZ(latencies(2_000, 1), latencies(2_000, 2, 0.02))).toBeLessThan(-5);
  expect(mannWhitneyZ(latencies(2_000, 1, 0.02), latencies(2_000, 2))).toBeGreaterThan(5);
});

test('is as the textbook has it', () => {
  expect(mannWhitneyZ([1, 2, 3, 4], [5, 6, 7, 8])).toBeCloseTo(-2.309, 3);
  expect(mannWhitneyZ([1, 1, 1], [1, 1, 1])).toBe(0);
  expect(mannWhitneyZ([1, 2, 2, 3], [2, 3, 3, 4])).toBeCloseTo(-1.517, 3);
});
