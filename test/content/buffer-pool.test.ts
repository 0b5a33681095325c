import { describe, expect, test } from 'vitest';
import { BufferPool } from '../../content/buffer-pool.ts';

describe('BufferPool', () => {
  test('lends as many buffers as its bound allows, each to one borrower, then none', () => {
    const pool = new BufferPool({ bufferBytes: 1_000, totalBytes: 5_999 });
    const lent = Array.from({ length: 5 }, () => pool.tryAcquire());
    expect(lent.map((buffer) => buffer?.bytes.length)).toEqual([1_000, 1_000, 1_000, 1_000, 1_000]);
    expect(new Set(lent.map((buffer) => buffer?.bytes.buffer)).size).toBe(5);
    expect(pool.tryAcquire()).toBeUndefined();
  });

  test('lends again what was given back, and allocates nothing for that', () => {
    const pool = new BufferPool({ bufferBytes: 10, totalBytes: 20 });
    const [one, other] = [pool.tryAcquire(), pool.tryAcquire()];
    one?.release();
    const again = pool.tryAcquire();
    expect(again?.bytes.buffer).toBe(one?.bytes.buffer);
    expect(again?.bytes.buffer).not.toBe(other?.bytes.buffer);
    expect(pool.tryAcquire()).toBeUndefined();
  });

  test('is not harmed by a buffer given back twice, before or after it is lent again', () => {
    const pool = new BufferPool({ bufferBytes: 10, totalBytes: 20 });
    const first = pool.tryAcquire();
    first?.release();
    first?.release();
    const [one, other] = [pool.tryAcquire(), pool.tryAcquire()];
    expect(one?.bytes.buffer).not.toBe(other?.bytes.buffer);
    first?.release();
    expect(pool.tryAcquire()).toBeUndefined();
  });

  test('has at least two buffers, however small its bound is', () => {
    const pool = new BufferPool({ bufferBytes: 1_000, totalBytes: 1 });
    expect([pool.tryAcquire(), pool.tryAcquire(), pool.tryAcquire()].map((each) => each !== undefined)).toEqual([
      true,
      true,
      false,
    ]);
  });

  test('allocates nothing that nobody asked for', () => {
    const before = process.memoryUsage().arrayBuffers;
    const pool = new BufferPool({ bufferBytes: 2 ** 20, totalBytes: 2 ** 40 });
    pool.tryAcquire()?.release();
    expect(process.memoryUsage().arrayBuffers - before).toBeLessThan(64 * 2 ** 20);
  });
});
