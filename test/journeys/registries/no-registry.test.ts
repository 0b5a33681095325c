import { describe, expect, test } from 'vitest';
import { generatedBlob } from '../../support/blobs.ts';
import { startHouse } from '../../support/house.ts';
import { ask } from '../../support/origin-client.ts';
import { startBlockPage, startBlockRedirect, startLoginRedirect } from '../../support/registries/no-registry.ts';

const NAME = 'blocked.test';
const ABSENT = `sha256:${'0'.repeat(64)}`;

describe.each([
  ['a block page', startBlockPage],
  ['a redirect to a block page', startBlockRedirect],
  ['a redirect to a login page', startLoginRedirect],
] as const)('behind %s', (_name, start) => {
  test.each(['GET', 'HEAD'])('nothing is served by %s, and the client is sent on', async (method) => {
    await using page = await start();
    await using house = await startHouse({ registries: { [NAME]: page } });
    for (const path of ['manifests/v1', `manifests/${ABSENT}`, `blobs/${ABSENT}`]) {
      const answers = await Promise.all([
        ask(`${house.mirror}/v2/org/app/${path}?ns=${NAME}`, { method }),
        ask(`${house.tierUrl}/v2/${NAME}/org/app/${path}`, { method }),
      ]);
      expect(answers.map(({ status }) => status)).toEqual([503, 503]);
      expect(answers.map(({ body }) => body.toString()).join()).not.toContain('html');
    }
    expect(await house.stored('tier')).toEqual([]);
  });

  test('what another registry holds is pulled as ever', async () => {
    await using page = await start();
    await using house = await startHouse({ registries: { [NAME]: page } });
    const { manifest } = await house.origin.addImage('org/app', 'v1', { layers: [generatedBlob(1000)] });
    await house.pull('org/app', 'v1');
    for (const reference of ['v1', manifest.digest]) {
      const url = `${house.mirror}/v2/org/app/manifests/${reference}?ns=${NAME}`;
      expect((await ask(url)).status).toBe(503);
    }
    await house.pull('org/app', 'v1');
  });
});
