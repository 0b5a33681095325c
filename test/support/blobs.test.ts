import { createHash } from 'node:crypto';
import { describe, expect, test } from 'vitest';
import { bytesBlob, generatedBlob, readBytes, withFlippedByte, withSize } from './blobs.ts';

const MIB = 1024 * 1024;

describe('a generated blob', () => {
  test('has the same bytes wherever one begins to read', () => {
    const blob = generatedBlob(3 * MIB + 77, 4);
    const whole = readBytes(blob);
    for (const [start, end] of [
      [0, 1],
      [5, 40],
      [MIB - 3, MIB + 30],
      [2 * MIB, 3 * MIB + 77],
    ] as const) {
      expect(readBytes(blob, start, end).equals(whole.subarray(start, end))).toBe(true);
    }
    expect(whole.byteLength).toBe(3 * MIB + 77);
  });

  test('has no two equal blocks, and other bytes for another seed', () => {
    const blocks = [0, 1, 2].map((index) => readBytes(generatedBlob(3 * MIB, 1), index * MIB, (index + 1) * MIB));
    const other = readBytes(generatedBlob(MIB, 2));
    expect(new Set([...blocks, other].map((block) => block.toString('latin1'))).size).toBe(4);
  });

  test('tells the digest of its bytes', async () => {
    const blob = generatedBlob(2 * MIB + 5, 9);
    const hex = createHash('sha512').update(readBytes(blob)).digest('hex');
    expect(await blob.digest('sha512')).toBe(`sha512:${hex}`);
  });

  test('gives bytes far out without having made those before', () => {
    const tenGib = 10 * 1024 * MIB;
    expect(readBytes(generatedBlob(tenGib), tenGib - 10, tenGib).byteLength).toBe(10);
  });

  test('can be had with one byte wrong, longer and shorter', () => {
    const blob = bytesBlob(Buffer.from('abcdef'));
    expect(readBytes(withFlippedByte(blob, 2), 1, 4)).toEqual(Buffer.from([0x62, 0x9c, 0x64]));
    expect(readBytes(withSize(blob, 8), 4).toString()).toBe('ef\0\0');
    expect(readBytes(withSize(blob, 3)).toString()).toBe('abc');
  });
});
