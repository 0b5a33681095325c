import { describe, expect, test } from 'vitest';
import { Authorization } from '../../oci/authorization.ts';
import { OciError } from '../../oci/error.ts';
import { filesIn } from '../content/fixtures.ts';
import { takeClock } from '../support/house-clock.ts';
import { headOf, rangeIn } from '../support/house-tcp.ts';
import {
  BYTES,
  DIGEST,
  GRANT,
  MANIFEST,
  MANIFEST_DIGEST,
  NAMED,
  NEVER,
  agent,
  blobRequest,
  collect,
  manifestRequest,
} from './agent-fixture.ts';

describe('blobs of the agent', () => {
  test('are relayed the first time and kept from the second request on', async () => {
    await using it = await agent('second-request');
    expect((await it.get()).bytes.equals(BYTES)).toBe(true);
    expect(await it.store.stat(DIGEST)).toBeUndefined();
    expect((await it.get()).bytes.equals(BYTES)).toBe(true);
    await expect.poll(() => it.store.stat(DIGEST)).toBeDefined();
    const reads = it.reads.requests.length;
    expect(await it.get()).toMatchObject({ outcome: 'node-hit', bytes: BYTES });
    expect(it.reads.requests).toHaveLength(reads);
  });

  test('are served from the disk without a question while the grant lasts, and with one afterwards', async () => {
    using clock = takeClock();
    await using it = await agent('always');
    await it.get();
    await expect.poll(() => it.store.stat(DIGEST)).toBeDefined();
    const asked = it.tier.blobQuestions.length;
    await it.get();
    expect(it.tier.blobQuestions).toHaveLength(asked);
    await clock.forward(60_001);
    expect(await it.get()).toMatchObject({ outcome: 'node-hit' });
    expect(it.tier.blobQuestions).toHaveLength(asked + 1);
  });

  test('on the disk are not served to a repository that the tier does not allow', async () => {
    await using it = await agent('always');
    await it.get();
    await expect.poll(() => it.store.stat(DIGEST)).toBeDefined();
    it.tier.answers.openBlob = () => {
      throw new OciError('BLOB_UNKNOWN', 'blob unknown', { denied: true });
    };
    await expect(it.get(blobRequest(undefined, 'org/other'))).rejects.toMatchObject({ code: 'BLOB_UNKNOWN' });
  });

  test('come right, and whole, from the tier when the disk has no room', async () => {
    await using it = await agent('always', { capacityBytes: 1000 });
    expect((await it.get()).bytes.equals(BYTES)).toBe(true);
    await expect.poll(() => it.failures.map(({ code }) => code)).toEqual(['UNAVAILABLE']);
  });

  test('go on from the tier at the right byte when the copy fails half-way', async () => {
    await using it = await agent('always');
    let reads = 0;
    const broken = Promise.withResolvers<void>();
    it.reads.script = async (socket, request) => {
      const { first, last } = rangeIn(request);
      reads += 1;
      if (reads > 3) {
        socket.write(headOf(last + 1 - first));
        socket.end(BYTES.subarray(first, last + 1));
      } else if (reads === 1) {
        socket.write(headOf(last + 1 - first));
        socket.write(BYTES.subarray(0, 300_000));
        await broken.promise;
        socket.resetAndDestroy();
      } else {
        socket.resetAndDestroy(); // three breaks end the copy
      }
    };
    await using blob = await it.source.openBlob(blobRequest(), { signal: NEVER });
    const reading = collect(blob.chunks({ start: 0, end: blob.sizeBytes }, { signal: NEVER }));
    await expect.poll(() => it.store.usage.bytes).toBeGreaterThan(0);
    broken.resolve();
    expect((await reading).equals(BYTES)).toBe(true);
    expect(it.failures.map(({ code }) => code)).toEqual(['UNAVAILABLE']);
  });

  test('are cut off when the copy turns out wrong, and nothing is kept', async () => {
    const wrong = Buffer.from(BYTES);
    wrong[500_000] = 0xff ^ (wrong[500_000] ?? 0);
    await using it = await agent('always');
    it.reads.script = (socket, request) => {
      socket.write(headOf(rangeIn(request).last + 1));
      socket.end(wrong);
    };
    await expect(it.get()).rejects.toMatchObject({ code: 'CORRUPT' });
    await expect.poll(() => filesIn(it.directory)).toEqual([]);
  });

  test('are served in ranges, also while they are copied', async () => {
    await using it = await agent('always');
    const starts = [0, 1, 400_000, 999_999];
    const got = await Promise.all(starts.map((first) => it.get(blobRequest({ first, last: undefined }))));
    starts.forEach((first, index) => expect(got[index]?.bytes.equals(BYTES.subarray(first)), `${first}`).toBe(true));
  });

  test('of a range outside are refused', async () => {
    await using it = await agent('never');
    const request = blobRequest({ first: BYTES.length, last: undefined });
    await expect(it.source.openBlob(request, { signal: NEVER })).rejects.toMatchObject({ code: 'RANGE_INVALID' });
  });

  test('are told of without a fetch', async () => {
    await using it = await agent('second-request');
    const told = await it.source.statBlob(blobRequest());
    expect(told).toEqual({ sizeBytes: BYTES.length, outcome: 'tier-hit' });
    expect(it.tier.blobQuestions[0]?.statOnly).toBe(true);
    expect(it.reads.requests).toEqual([]);
  });

  test('do not exist under the digest of a manifest', async () => {
    await using it = await agent('always');
    await it.source.manifest(manifestRequest('v1'), { withContent: true });
    it.tier.answers.openBlob = () => {
      throw new OciError('BLOB_UNKNOWN', 'blob unknown');
    };
    const request = { ...blobRequest(), digest: MANIFEST_DIGEST };
    await expect(it.source.statBlob(request)).rejects.toMatchObject({ code: 'BLOB_UNKNOWN' });
    await expect(it.source.openBlob(request, { signal: NEVER })).rejects.toMatchObject({ code: 'BLOB_UNKNOWN' });
  });
});

describe('manifests of the agent', () => {
  test('by tag are asked of the tier each time', async () => {
    await using it = await agent('always');
    for (let time = 1; time <= 2; time += 1) {
      const answer = await it.source.manifest(manifestRequest('v1'), { withContent: true });
      expect(answer).toMatchObject({
        outcome: 'origin',
        content: new Uint8Array(MANIFEST),
        descriptor: { digest: MANIFEST_DIGEST },
      });
    }
    expect(it.tier.manifestQuestions).toHaveLength(2);
    expect(it.tier.manifestQuestions[1]?.grant.toString()).toBe('sealed');
  });

  test('by digest are answered from memory while the grant lasts, and not longer', async () => {
    using clock = takeClock();
    await using it = await agent('always');
    await it.source.manifest(manifestRequest(MANIFEST_DIGEST), { withContent: true });
    const again = await it.source.manifest(manifestRequest(MANIFEST_DIGEST), { withContent: true });
    expect(again).toMatchObject({ outcome: 'node-hit', content: new Uint8Array(MANIFEST) });
    expect(it.tier.manifestQuestions).toHaveLength(1);
    await clock.forward(60_001);
    it.tier.answers.resolveManifest = () => {
      throw new OciError('MANIFEST_UNKNOWN', 'manifest unknown', { denied: true });
    };
    await expect(it.source.manifest(manifestRequest(MANIFEST_DIGEST), { withContent: true })).rejects.toMatchObject({
      code: 'MANIFEST_UNKNOWN',
    });
  });

  test('do not exist under the digest of a layer', async () => {
    await using it = await agent('always');
    await it.source.manifest(manifestRequest('v1'), { withContent: true });
    it.tier.answers.resolveManifest = () => {
      throw new OciError('MANIFEST_UNKNOWN', 'manifest unknown');
    };
    const asking = it.source.manifest(manifestRequest(DIGEST), { withContent: false });
    await expect(asking).rejects.toMatchObject({ code: 'MANIFEST_UNKNOWN' });
  });

  test('whose bytes the tier got wrong are not served', async () => {
    await using it = await agent('always');
    it.tier.answers.resolveManifest = () => ({ manifest: NAMED, content: Buffer.from('{}'), grant: GRANT });
    for (const by of ['v1', MANIFEST_DIGEST] as const) {
      const asking = it.source.manifest(manifestRequest(by), { withContent: true });
      await expect(asking).rejects.toBeInstanceOf(OciError);
    }
  });
});

describe('lists of the agent', () => {
  const query = new URLSearchParams('n=2');
  const request = { ...manifestRequest('v1'), kind: 'list', name: 'org/app', subject: undefined, query } as const;

  test('are asked of the tier each time, on behalf of who asks', async () => {
    await using it = await agent('always');
    it.tier.answers.list = () => ({ content: Buffer.from('{"tags":["a"]}'), next: 'n=2&last=a', filtersApplied: '' });
    const asker = { ...request, authorization: Authorization.bearer('of-alice') };
    for (let time = 1; time <= 2; time += 1) {
      const { content, next, filters } = await it.source.list(asker);
      expect([Buffer.from(content).toString(), next, filters]).toEqual(['{"tags":["a"]}', 'n=2&last=a', undefined]);
    }
    const asked = { authorization: 'Bearer of-alice', subject: '', query: 'n=2', target: { repository: 'org/app' } };
    expect(it.tier.listQuestions).toMatchObject([asked, asked]);
    it.tier.answers.list = () => ({ content: Buffer.from('{}'), filtersApplied: 'artifactType' });
    expect(await it.source.list({ ...request, subject: DIGEST })).toMatchObject({
      next: undefined,
      filters: 'artifactType',
    });
    expect(it.tier.listQuestions[2]).toMatchObject({ authorization: '', subject: DIGEST });
  });

  test('are refused as the tier refuses them', async () => {
    await using it = await agent('always');
    const refusal = new OciError('UNAUTHORIZED', 'authentication is needed', { challenge: ['Bearer realm="a"'] });
    it.tier.answers.list = () => {
      throw refusal;
    };
    await expect(it.source.list(request)).rejects.toMatchObject({
      code: 'UNAUTHORIZED',
      challenge: ['Bearer realm="a"'],
    });
  });
});
