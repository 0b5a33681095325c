import { describe, expect, test } from 'vitest';
import { pull } from '../../support/house-client.ts';
import { startHouse } from '../../support/house.ts';
import { REGISTRIES } from '../../support/registries/all.ts';
import { PUBLIC, stocked } from '../../support/registries/fixtures.ts';

const open = REGISTRIES.filter(({ hasPublic }) => hasPublic).map((kind) => [kind.name, kind] as const);

describe('a token of our own that the registry takes no longer', () => {
  test.each(open)('is given up for a new one, however %s says so', async (name, kind) => {
    await using it = await stocked(kind);
    await using house = await startHouse({ registries: { [name]: it.registry } });
    const at = { mirror: house.mirror, registry: name, repository: PUBLIC, reference: 'v1' };
    await pull(at);
    const { tokenServer, origin } = it.registry.hosts;
    (tokenServer?.authority ?? origin.tokens).revokeAll();
    await expect(pull(at)).resolves.toMatchObject({ blobs: [expect.any(String), expect.any(String)] });
  });
});
