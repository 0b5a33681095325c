import { expect, test } from 'vitest';
import { digestOf } from '../../oci/digest.ts';
import { generatedBlob, readBytes } from '../support/blobs.ts';
import { pull } from '../support/house-client.ts';
import { PushClient, locationOf } from '../support/house-push.ts';
import { startHouse } from '../support/house.ts';
import { startOrigin } from '../support/origin.ts';

const MIB = 1024 * 1024;
const REGISTRY = 'narrow.test';
const blob = generatedBlob(4 * MIB, 7);
const bytes = readBytes(blob);
const digest = digestOf(bytes);

test.each([
  ['only connection', 1],
  ['only connection for bytes', 2],
])(
  'a push that waits for its client leaves the %s of an origin to pulls, and goes on afterwards',
  async (_what, maxConnections) => {
    await using origin = await startOrigin();
    await using house = await startHouse({
      registries: { [REGISTRY]: { url: origin.url, entry: { maxConnections } } },
    });
    await origin.addImage('org/pulled', 'v1', { layers: [generatedBlob(MIB, 1)] });
    const pusher = new PushClient({ url: house.tierUrl, repository: 'org/pushed', ns: REGISTRY });
    const pulled = Promise.withResolvers<undefined>();
    async function* stopping() {
      yield bytes.subarray(0, MIB);
      await pulled.promise;
      yield bytes.subarray(MIB);
    }

    const pushing = pusher.patch(await pusher.begin(), stopping());
    await origin.arrived({ kind: 'upload', method: 'PATCH' });
    await pull({ mirror: house.mirror, registry: REGISTRY, repository: 'org/pulled', reference: 'v1' });
    pulled.resolve(undefined);

    expect((await pusher.put(locationOf(await pushing, 202), digest)).status).toBe(201);
    expect(digestOf(readBytes(origin.blob(digest) ?? generatedBlob(0)))).toBe(digest);
    expect(await house.stored('tier')).toContain(digest);
    expect(origin.count({ kind: 'blob', method: 'GET', digest })).toBe(0);
  },
  60_000,
);
