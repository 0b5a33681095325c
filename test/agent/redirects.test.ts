import { describe, expect, test } from 'vitest';
import { Redirects } from '../../agent/redirects.ts';
import { takeClock } from '../support/house-clock.ts';

const A = new URL('http://127.0.0.1:1/circ/v1/read/a');
const B = new URL('http://127.0.0.1:2/circ/v1/read/b');

function redirects(hasBegun: (url: URL) => Promise<boolean>) {
  const off: string[] = [];
  const made = new Redirects({ hasBegun, switchedOff: (target) => off.push(target), arrivalMs: 100 });
  return { redirects: made, off, [Symbol.dispose]: () => made[Symbol.dispose]() };
}

describe('redirects to a target', () => {
  test('are given one at a time until a client has arrived, then to all', async () => {
    let isBegun = false;
    using it = redirects(async () => isBegun);
    expect([it.redirects.take(A), it.redirects.take(A), it.redirects.take(A)]).toEqual([true, false, false]);
    isBegun = true;
    await expect.poll(() => it.redirects.take(A) && it.redirects.take(A)).toBe(true);
    expect(it.off).toEqual([]);
  });

  test('end when nobody arrives, for 10 minutes and for this target only, which is told once', async () => {
    using clock = takeClock();
    using it = redirects(async (url) => url.host === B.host);
    expect([it.redirects.take(A), it.redirects.take(B)]).toEqual([true, true]);
    await expect.poll(() => it.off).toEqual([A.host]);
    expect(it.redirects.take(A)).toBe(false);
    expect(it.redirects.take(B)).toBe(true);
    await clock.forward(10 * 60_000 - 1_000);
    expect(it.redirects.take(A)).toBe(false);
    await clock.forward(2_000);
    expect(it.redirects.take(A)).toBe(true);
    expect(it.off).toEqual([A.host]);
  });

  test('end as well when it was reached before, or cannot be asked', async () => {
    let isBegun = true;
    using it = redirects(async () => {
      if (!isBegun) throw new Error('refused');
      return true;
    });
    it.redirects.take(A);
    await expect.poll(() => it.redirects.take(A) && it.redirects.take(A)).toBe(true);
    isBegun = false;
    await expect.poll(() => it.redirects.take(A)).toBe(false);
    expect(it.off).toEqual([A.host]);
  });
});
