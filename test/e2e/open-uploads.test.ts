import { expect, test } from 'vitest';
import { digestOf } from '../../oci/digest.ts';
import { generatedBlob, readBytes } from '../support/blobs.ts';
import { PushClient, locationOf } from '../support/house-push.ts';
import { REGISTRY, startHouse } from '../support/house.ts';

const bytes = readBytes(generatedBlob(1024 * 1024, 31));
const digest = digestOf(bytes);

test('10,000 uploads that are begun cost nothing here until a byte comes, and the next push is taken', async () => {
  await using house = await startHouse();
  const pusher = new PushClient({ url: house.tierUrl, repository: 'org/app', ns: REGISTRY });
  for (let batch = 0; batch < 100; batch += 1) {
    await Promise.all(Array.from({ length: 100 }, async () => await pusher.begin()));
  }
  expect(house.origin.openUploads).toBe(10_000);
  expect(await house.ingests()).toBe(0);
  const patched = locationOf(await pusher.patch(await pusher.begin(), bytes), 202);
  expect((await pusher.put(patched, digest)).status).toBe(201);
  expect(await house.stored('tier')).toEqual([digest]);
});
