import { describe, expect, test } from 'vitest';
import { Authorization } from '../../oci/authorization.ts';
import { OciError } from '../../oci/error.ts';
import { headOf, rangeIn } from '../support/house-tcp.ts';
import {
  BYTES,
  DIGEST,
  MANIFEST_DIGEST,
  NEVER,
  agent,
  blobRequest,
  collect,
  manifestRequest,
} from './agent-fixture.ts';

const alice = Authorization.bearer('alice');
const bob = Authorization.bearer('bob');
const refused = new OciError('BLOB_UNKNOWN', 'blob unknown', { denied: true });

/** The tier allows everything to alice, and nothing to anybody else. */
function onlyForAlice(it: Awaited<ReturnType<typeof agent>>): void {
  const { openBlob, resolveManifest } = it.tier.answers;
  it.tier.answers.openBlob = (request) => {
    if (request.authorization !== alice.header || !openBlob) throw refused;
    return openBlob(request);
  };
  it.tier.answers.resolveManifest = (request) => {
    if (request.authorization !== alice.header || !resolveManifest) throw refused;
    return resolveManifest(request);
  };
}

describe('what the node has', () => {
  test('is served without a question to who was allowed it, and to nobody else', async () => {
    await using it = await agent('always');
    onlyForAlice(it);
    await it.get(blobRequest(undefined, 'org/app', alice));
    await expect.poll(() => it.store.stat(DIGEST)).toBeDefined();
    const asked = it.tier.blobQuestions.length;
    expect(await it.get(blobRequest(undefined, 'org/app', alice))).toMatchObject({ outcome: 'node-hit' });
    expect(it.tier.blobQuestions).toHaveLength(asked);
    for (const authorization of [bob, undefined]) {
      await expect(it.get(blobRequest(undefined, 'org/app', authorization))).rejects.toMatchObject({ denied: true });
      await expect(it.source.statBlob(blobRequest(undefined, 'org/app', authorization))).rejects.toMatchObject({
        denied: true,
      });
    }
    expect(it.tier.blobQuestions.slice(asked).map(({ authorization }) => authorization)).toEqual([
      bob.header,
      bob.header,
      '',
      '',
    ]);
  });

  test('of manifests in memory is served likewise', async () => {
    await using it = await agent('always');
    onlyForAlice(it);
    await it.source.manifest(manifestRequest('v1', alice), { withContent: true });
    const again = await it.source.manifest(manifestRequest(MANIFEST_DIGEST, alice), { withContent: true });
    expect(again.outcome).toBe('node-hit');
    for (const authorization of [bob, undefined]) {
      for (const withContent of [true, false]) {
        const asking = it.source.manifest(manifestRequest(MANIFEST_DIGEST, authorization), { withContent });
        await expect(asking).rejects.toMatchObject({ denied: true });
      }
    }
  });

  test('is presented to the tier with the grant of the same caller only', async () => {
    await using it = await agent('never');
    for (const authorization of [alice, bob, alice, undefined, bob]) {
      await it.source.manifest(manifestRequest('v1', authorization), { withContent: true });
    }
    expect(it.tier.manifestQuestions.map(({ grant }) => grant.toString())).toEqual(['', '', 'sealed', '', 'sealed']);
  });
});

describe('a warm pull', () => {
  test('makes one question a phase, whoever the caller is', async () => {
    await using it = await agent('always');
    for (const authorization of [undefined, alice]) {
      await it.get(blobRequest(undefined, 'org/app', authorization)); // now the node has it
      await expect.poll(() => it.store.stat(DIGEST)).toBeDefined();
      const before = it.tier.manifestQuestions.length + it.tier.blobQuestions.length;
      await it.source.manifest(manifestRequest('v1', authorization), { withContent: false });
      await it.source.manifest(manifestRequest(MANIFEST_DIGEST, authorization), { withContent: true });
      await it.get(blobRequest(undefined, 'org/app', authorization));
      await it.source.statBlob(blobRequest(undefined, 'org/app', authorization));
      expect(it.tier.manifestQuestions.length + it.tier.blobQuestions.length - before).toBeLessThanOrEqual(2);
    }
  });
});

test('a copy whose beginner’s right ends does not end those who read along with a right of their own', async () => {
  await using it = await agent('always');
  const ended = Promise.withResolvers<undefined>();
  let reads = 0;
  it.reads.script = async (socket, request) => {
    const { first, last } = rangeIn(request);
    reads += 1;
    socket.write(headOf(last + 1 - first));
    if (reads > 1) {
      socket.end(BYTES.subarray(first, last + 1));
      return;
    }
    socket.write(BYTES.subarray(0, 300_000));
    await ended.promise;
    socket.resetAndDestroy();
  };
  const { openBlob } = it.tier.answers;
  let isOver = false;
  it.tier.answers.openBlob = (request) => {
    if (isOver && request.authorization === alice.header) throw new OciError('UNAUTHORIZED', 'the token is over');
    return openBlob?.(request) ?? {};
  };
  await using begun = await it.source.openBlob(blobRequest(undefined, 'org/app', alice), { signal: NEVER });
  await using along = await it.source.openBlob(blobRequest(undefined, 'org/app', bob), { signal: NEVER });
  const reading = collect(along.chunks({ start: 0, end: along.sizeBytes }, { signal: NEVER }));
  await expect.poll(() => it.store.usage.bytes).toBeGreaterThan(0);
  isOver = true;
  ended.resolve(undefined);
  expect((await reading).equals(BYTES)).toBe(true);
  expect(begun.sizeBytes).toBe(BYTES.length);
  expect(it.failures.map(({ code }) => code)).toEqual(['UNAUTHORIZED']);
});
