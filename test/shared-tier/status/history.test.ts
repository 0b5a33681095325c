import { describe, expect, test, vi } from 'vitest';
import type { Totals } from '../../../shared-tier/admin/totals.ts';
import { History } from '../../../shared-tier/status/history.ts';

function counting(options: { size?: number; everyMs?: number } = {}) {
  let count = 0;
  const totals = (): Promise<Totals> => {
    count += 1;
    return Promise.resolve({
      hits: count * 10,
      misses: count,
      servedBytes: count ** 2,
      originBytes: 0,
      originRequests: 2 * count,
    });
  };
  return new History({ totals, everyMs: 3_600_000, ...options });
}

describe('the history', () => {
  test('is what happened between two looks', async () => {
    using history = counting();
    for (let time = 1; time <= 3; time += 1) await history.sample();
    expect(history.spans(96).map(({ hits, misses, servedBytes }) => [hits, misses, servedBytes])).toEqual([
      [10, 1, 1],
      [10, 1, 3],
      [10, 1, 5],
    ]);
  });

  test('forgets the oldest when it is full', async () => {
    using history = counting({ size: 4 });
    for (let time = 1; time <= 10; time += 1) await history.sample();
    expect(history.spans(96).map(({ servedBytes }) => servedBytes)).toEqual([13, 15, 17, 19]);
  });

  test.each([
    [10, 5, [1 + 3, 5 + 7, 9 + 11, 13 + 15, 17 + 19]],
    [7, 4, [1, 3 + 5, 7 + 9, 11 + 13]],
    [3, 1, [1 + 3 + 5]],
    [0, 5, []],
  ])('of %i spans becomes %i by putting neighbours together, nothing lost', async (looks, count, bytes) => {
    using history = counting();
    for (let time = 1; time <= looks; time += 1) await history.sample();
    expect(history.spans(count).map(({ servedBytes }) => servedBytes)).toEqual(bytes);
  });

  test('is made by itself, until it is disposed', async () => {
    using history = counting({ everyMs: 1 });
    await vi.waitFor(() => expect(history.spans(96).length).toBeGreaterThan(2));
  });
});
