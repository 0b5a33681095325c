import { afterEach, describe, expect, test, vi } from 'vitest';
import { Seal } from '../../shared-tier/seal.ts';

const key = Buffer.alloc(32, 7);
const value = { endsAtMs: Date.now() + 60_000, text: 'org/app' };

afterEach(() => {
  vi.useRealTimers();
});

describe('a sealed value', () => {
  test('is opened by every replica with the key', () => {
    expect(new Seal(key, 'grant').open(new Seal(key, 'grant').close(value))).toEqual(value);
  });

  test('is never sealed the same way twice, and cannot be read', () => {
    const seal = new Seal(key, 'grant');
    const [one, two] = [seal.close(value), seal.close(value)];
    expect(one.equals(two)).toBe(false);
    expect(one.includes('org/app')).toBe(false);
  });

  test('is not opened when any bit of it is altered', () => {
    const seal = new Seal(key, 'grant');
    const sealed = seal.close(value);
    const opened = [];
    for (let bit = 0; bit < sealed.length * 8; bit += 1) {
      const altered = Buffer.from(sealed);
      altered[bit >> 3] = (altered[bit >> 3] ?? 0) ^ (1 << (bit & 7));
      if (seal.open(altered)) opened.push(bit);
    }
    expect(opened).toEqual([]);
  });

  test('is not opened when it is cut or extended', () => {
    const seal = new Seal(key, 'grant');
    const sealed = seal.close(value);
    const cuts = Array.from({ length: sealed.length }, (_each, length) => seal.open(sealed.subarray(0, length)));
    expect(new Set([...cuts, seal.open(Buffer.concat([sealed, Buffer.alloc(1)]))])).toEqual(new Set([undefined]));
  });

  test('is not opened for another purpose, nor by another key', () => {
    const sealed = new Seal(key, 'grant').close(value);
    expect(new Seal(key, 'read').open(sealed)).toBeUndefined();
    expect(new Seal(Buffer.alloc(32, 8), 'grant').open(sealed)).toBeUndefined();
  });

  test('is not opened after its end', () => {
    const seal = new Seal(key, 'grant');
    const sealed = seal.close(value);
    vi.useFakeTimers({ toFake: ['Date'] });
    vi.setSystemTime(value.endsAtMs - 1);
    expect(seal.open(sealed)).toEqual(value);
    vi.setSystemTime(value.endsAtMs);
    expect(seal.open(sealed)).toBeUndefined();
  });
});
