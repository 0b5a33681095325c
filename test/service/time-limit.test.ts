import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import { OciError } from '../../oci/error.ts';
import { TimeLimit } from '../../service/time-limit.ts';

beforeEach(() => void vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] }));
afterEach(() => void vi.useRealTimers());

test('what is not over in time is not available', () => {
  using limit = new TimeLimit(1_000);
  vi.advanceTimersByTime(999);
  expect(limit.signal.aborted).toBe(false);
  vi.advanceTimersByTime(1);
  expect(limit.signal.aborted).toBe(true);
  expect(OciError.from(limit.signal.reason).code).toBe('UNAVAILABLE');
});

test('what is over leaves no timer behind', () => {
  {
    using limit = new TimeLimit(600_000);
    expect([vi.getTimerCount(), limit.signal.aborted]).toEqual([1, false]);
  }
  expect(vi.getTimerCount()).toBe(0);
});
