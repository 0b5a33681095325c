import { expect, test } from 'vitest';
import { generatedBlob } from '../support/blobs.ts';
import { startReplicas } from '../support/house-replicas.ts';

const MIB = 1024 * 1024;
/** What a replica takes at most to stop; its grace period in a cluster is longer. */
const STOPS_WITHIN_MS = 10_000;

test('a replica that is told to stop in the middle of a fetch ends in time, and its readers go on elsewhere', async () => {
  await using tier = await startReplicas(2);
  const { digest } = await tier.origin.addBlob('org/app', generatedBlob(16 * MIB));
  tier.origin.when({ kind: 'blob', method: 'GET' }, { bytesPerSecondPerConnection: MIB });
  const agent = await tier.agent();
  const some = Promise.withResolvers<void>();
  const reading = agent.blob('org/app', digest, { onPiece: () => some.resolve() });
  await some.promise;
  const stopping = tier.at(tier.preferred(digest)[0]);

  const startedAt = performance.now();
  stopping.kill('SIGTERM');
  const { code } = await stopping.exited();

  expect([code, performance.now() - startedAt < STOPS_WITHIN_MS]).toEqual([0, true]);
  tier.origin.calm();
  expect(await reading).toMatchObject({ status: 200, digest, isWhole: true });
}, 60_000);
