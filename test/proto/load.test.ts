import { readFile } from 'node:fs/promises';
import { describe, expect, test } from 'vitest';
import { loadDefinition, loadServices } from '../../proto/load.ts';

describe('the contract', () => {
  test('has the service with its questions', () => {
    expect(Object.keys(loadServices().SharedTier.service).toSorted()).toEqual(['List', 'OpenBlob', 'ResolveManifest']);
  });

  test('can be described by reflection: it has no map fields', async () => {
    expect(Object.keys(loadDefinition())).toContain('circ.v1.SharedTier');
    const text = await readFile(new URL('../../proto/shared_tier.proto', import.meta.url), 'utf8');
    expect(text).not.toMatch(/\bmap\s*</);
  });

  test('carries sizes above 4 GiB as numbers, exactly', () => {
    const { OpenBlob } = loadServices().SharedTier.service;
    const size = 2 ** 53 - 1;
    const bytes = OpenBlob.responseSerialize({ size });
    expect(OpenBlob.responseDeserialize(bytes).size).toBe(size);
  });
});
