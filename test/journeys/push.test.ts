import { describe, expect, test } from 'vitest';
import { digestOf } from '../../oci/digest.ts';
import { generatedBlob, readBytes } from '../support/blobs.ts';
import { REGISTRY, startHouse } from '../support/house.ts';
import { PushClient } from '../support/house-push.ts';
import { pull } from '../support/house-client.ts';

const REPOSITORY = 'org/app';
const MIB = 1024 * 1024;

describe('what was pushed through the shared tier', () => {
  test.each(['ns', 'path'] as const)(
    'is at the origin, and is pulled without reading it there (%s form)',
    async (form) => {
      await using house = await startHouse();
      const pusher = pusherOf(house.tierUrl, form);
      const pushed = await pusher.image('v1', [generatedBlob(3 * MIB), generatedBlob(MIB + 1, 2)]);
      expect(house.origin.tag(REPOSITORY, 'v1')).toBe(pushed.digest);
      expect(house.origin.openUploads).toBe(0);

      const pulled = await house.pull(REPOSITORY, 'v1');
      expect(pulled.manifests).toEqual([pushed.digest]);
      expect(pulled.blobs.toSorted()).toEqual(pushed.blobs.toSorted());
      expect(house.origin.count({ kind: 'blob', method: 'GET' })).toBe(0);
      expect(house.origin.count({ kind: 'manifest', method: 'GET' })).toBe(0);
      expect(await house.ingests()).toBe(0);
    },
  );

  test('is pulled by clients without an agent as well', async () => {
    await using house = await startHouse();
    await pusherOf(house.tierUrl, 'path').image('v1', [generatedBlob(MIB)]);
    const options = { mirror: house.tierUrl, registry: REGISTRY, repository: REPOSITORY, reference: 'v1', path: true };
    expect((await pull(options)).blobs).toHaveLength(2);
    expect(house.origin.count({ kind: 'blob', method: 'GET' })).toBe(0);
  });

  test('is there after a restart of the tier', async () => {
    await using house = await startHouse();
    await pusherOf(house.tierUrl, 'ns').image('v1', [generatedBlob(MIB)]);
    await house.restartTier();
    const options = { mirror: house.tierUrl, registry: REGISTRY, repository: REPOSITORY, reference: 'v1', path: true };
    expect((await pull(options)).blobs).toHaveLength(2);
    expect(house.origin.count({ kind: 'blob', method: 'GET' })).toBe(0);
  });
});

describe('a blob', () => {
  const blob = generatedBlob(2 * MIB + 7, 3);
  const bytes = readBytes(blob);
  const digest = digestOf(bytes);

  test.each([
    ['in one PATCH of unknown length', (pusher: PushClient) => pusher.stream(blob, digest)],
    ['in one PUT', (pusher: PushClient) => pusher.whole(blob, digest)],
    ['in parts', (pusher: PushClient) => pusher.parts(bytes, digest, MIB)],
    ['in one POST', (pusher: PushClient) => pusher.ask('POST', `blobs/uploads/?digest=${digest}`, { body: bytes })],
  ])('is pushed %s', async (_how, push) => {
    await using house = await startHouse();
    const pusher = pusherOf(house.tierUrl, 'ns');
    const answer = await push(pusher);
    expect(answer).toMatchObject({ status: 201, headers: { 'docker-content-digest': digest } });
    expect(house.origin.blob(digest)?.sizeBytes).toBe(bytes.length);
    const read = await pusher.ask('GET', answer.headers.location ?? '');
    expect(digestOf(read.body)).toBe(digest);
    expect(house.origin.count({ kind: 'blob', method: 'GET' })).toBe(0);
  });

  test.each(['', '?digest-algorithm=sha512'])('of another algorithm, or of no bytes, is pushed (%s)', async (query) => {
    await using house = await startHouse();
    const pusher = pusherOf(house.tierUrl, 'path');
    for (const content of [bytes, Buffer.alloc(0)]) {
      const sha512 = digestOf(content, 'sha512');
      const answer = await pusher.put(await pusher.begin(query), sha512, { body: content });
      expect(answer.status).toBe(201);
      expect((await pusher.ask('GET', `blobs/${sha512}`)).body.equals(content)).toBe(true);
    }
    expect(house.origin.count({ kind: 'blob', method: 'GET' })).toBe(0);
  });
});

function pusherOf(url: string, form: 'ns' | 'path'): PushClient {
  return form === 'ns'
    ? new PushClient({ url, repository: REPOSITORY, ns: REGISTRY })
    : new PushClient({ url, repository: `${REGISTRY}/${REPOSITORY}` });
}
