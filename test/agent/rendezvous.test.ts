import { describe, expect, test } from 'vitest';
import { rankFor } from '../../agent/rendezvous.ts';

const MEMBERS = ['10.0.0.1', '10.0.0.2', '10.0.0.3', '10.0.0.4'];
const KEYS = Array.from({ length: 2_000 }, (_, index) => `sha256:${index}`);
const rank = (key: string, members = MEMBERS): string[] => rankFor(key, members, (name) => name);

describe('rankFor', () => {
  test('gives all members, in the same order whatever the order they are known in', () => {
    for (const key of KEYS.slice(0, 50)) {
      expect(rank(key).toSorted()).toEqual(MEMBERS);
      expect(rank(key, MEMBERS.toReversed())).toEqual(rank(key));
    }
  });

  test('spreads the keys evenly', () => {
    const firsts = KEYS.map((key) => rank(key)[0]);
    for (const member of MEMBERS) {
      const share = firsts.filter((first) => first === member).length / KEYS.length;
      expect(share).toBeGreaterThan(0.2);
      expect(share).toBeLessThan(0.3);
    }
  });

  test('moves nothing but the share of a member that goes, each key to its second choice', () => {
    const left = MEMBERS.slice(1);
    for (const key of KEYS) expect(rank(key, left)).toEqual(rank(key).filter((name) => name !== MEMBERS[0]));
  });

  test('orders none and one', () => {
    expect(rank('a', [])).toEqual([]);
    expect(rank('a', ['b'])).toEqual(['b']);
  });
});
