import { existsSync } from 'node:fs';
import { describe, expect, test } from 'vitest';
import { tmpDir } from './tmp-dir.ts';

describe('a directory for a test', () => {
  test('is gone with its content after use', async () => {
    let path: string;
    {
      await using dir = await tmpDir();
      path = dir.path;
      expect(existsSync(path)).toBe(true);
    }
    expect(existsSync(path)).toBe(false);
  });
});
