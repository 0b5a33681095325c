import { describe, expect, test } from 'vitest';
import { Admission } from '../../agent/admission.ts';
import { digestOf } from '../../oci/digest.ts';
import { takeClock } from '../support/house-clock.ts';

const A = digestOf(Buffer.from('a'));
const B = digestOf(Buffer.from('b'));

describe('Admission', () => {
  test('"always" keeps at the first request, "never" at none', () => {
    expect(new Admission('always').request(A, true)).toBe(true);
    expect(new Admission('always').request(A, false)).toBe(true);
    const never = new Admission('never');
    expect([never.request(A, true), never.request(A, true), never.request(A, true)]).toEqual([false, false, false]);
  });

  test('"second-request" keeps from the second request on, for each blob by itself', () => {
    const admission = new Admission('second-request');
    expect(admission.request(A, true)).toBe(false);
    expect(admission.request(B, true)).toBe(false);
    expect(admission.request(A, true)).toBe(true);
    expect(admission.request(A, true)).toBe(true);
  });

  test('later ranges belong to the request that began at byte 0', () => {
    const admission = new Admission('second-request');
    admission.request(A, true);
    for (let range = 1; range < 10; range += 1) expect(admission.request(A, false)).toBe(false);
    expect(admission.request(A, true)).toBe(true);
  });

  test('counts are forgotten 10 minutes after the last request', async () => {
    using clock = takeClock();
    const admission = new Admission('second-request');
    admission.request(A, true);
    await clock.forward(9 * 60_000);
    expect(admission.request(A, true)).toBe(true);
    await clock.forward(9 * 60_000);
    expect(admission.request(A, true)).toBe(true);
    await clock.forward(10 * 60_000 + 10);
    expect(admission.request(A, true)).toBe(false);
  });
});
