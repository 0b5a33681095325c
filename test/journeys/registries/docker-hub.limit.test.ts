import { expect, test } from 'vitest';
import { authorize } from '../../support/containerd-auth.ts';
import { pull } from '../../support/house-client.ts';
import { startHouse } from '../../support/house.ts';
import { ask } from '../../support/origin-client.ts';
import { startDockerHub } from '../../support/registries/docker-hub.ts';

test('who comes without a name when Docker Hub has no such pull left is asked for his own, and it does', async () => {
  const secret = { user: 'alice', password: 'open sesame' };
  await using hub = await startDockerHub({ users: { alice: { password: secret.password, repositories: [] } } });
  await hub.addImage('library/app', 'v1', { layers: [Buffer.from('layer')] });
  hub.limit.rules.anonymous = 0;
  await using house = await startHouse({ registries: { 'docker.io': hub } });
  const at = { mirror: house.mirror, registry: 'docker.io', repository: 'library/app', reference: 'v1' };

  // HEAD is free, so the resolve phase is not challenged. The fetch phase is.
  const url = `${house.mirror}/v2/library/app/manifests/v1?ns=docker.io`;
  expect((await ask(url, { method: 'HEAD' })).status).toBe(200);
  const { status, headers } = await ask(url);
  const challenge = headers['www-authenticate'];
  expect([status, challenge]).toEqual([401, hub.origin.challenge('library/app')]);

  const { authorization } = await authorize(challenge, 'library/app', secret);
  await pull({ ...at, authorization });
  expect([hub.limit.counted(), hub.limit.counted('alice')]).toEqual([0, 1]);
});
