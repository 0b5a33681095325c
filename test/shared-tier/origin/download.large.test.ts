import { describe, expect, test } from 'vitest';
import { startDownload } from '../../../shared-tier/origin/download.ts';
import { generatedBlob, readBytes } from '../../support/blobs.ts';
import { MIB, bytesOf, failureOf } from '../fixtures.ts';
import { isWhole, large, originWith, small } from './downloads.ts';

describe('a large blob', () => {
  test('is fetched in segments over several connections, each byte once', async () => {
    await using t = await originWith(large);

    expect(await isWhole(await t.it.run(t.digest), t.digest)).toBe(true);

    expect(t.origin.bodyBytes(t.digest)).toBe(large.sizeBytes);
    expect(t.origin.requests.length).toBeGreaterThan(2);
    expect(new Set(t.origin.requests.map(({ connection }) => connection)).size).toBeGreaterThan(1);
    const starts = t.origin.requests.map(({ range }) => range);
    expect(new Set(starts).size).toBe(starts.length);
  });

  test('of an origin without ranges is one stream', async () => {
    await using t = await originWith(large, { ranges: false });
    expect(await isWhole(await t.it.run(t.digest), t.digest)).toBe(true);
    expect([t.origin.requests.length, t.origin.bodyBytes(t.digest)]).toEqual([1, large.sizeBytes]);
  });

  test('all of whose connections break in the middle arrives', async () => {
    await using t = await originWith(large, { truncateAt: 9 * MIB });
    expect(await isWhole(await t.it.run(t.digest), t.digest)).toBe(true);
    expect(t.it.receivedBytes).toBe(large.sizeBytes);
  });

  test('that is given up is given up by all of its connections', async () => {
    await using t = await originWith(large, { bytesPerSecondPerConnection: 2 * MIB });
    const gone = new AbortController();
    const running = failureOf(t.it.run(t.digest, { signal: gone.signal }));
    await t.origin.arrived({ status: 206 }, 3);
    gone.abort(new Error('gone'));
    await running;
    await t.origin.idle();
    expect(t.origin.bodyBytes(t.digest)).toBeLessThan(large.sizeBytes);
  });

  test('is fetched first where readers wait', async () => {
    await using t = await originWith(generatedBlob(200 * MIB, 5), { bytesPerSecondPerConnection: 8 * MIB });
    const stop = new AbortController();
    const started = await startDownload({ ...t.it.options, signal: stop.signal, digest: t.digest });
    await using ingest = await t.it.store.ingest(t.digest, started.sizeBytes);
    await using content = ingest.follow();
    const at = 190 * MIB;

    const reading = bytesOf(content, at, at + 10);
    const running = failureOf(started.into(ingest));

    expect(await reading).toEqual(readBytes(generatedBlob(200 * MIB, 5), at, at + 10));
    // It is in the segment that was asked for right after the first request.
    const starts = t.origin.requests.slice(0, 2).map(({ range }) => Number(/\d+/.exec(range ?? '')?.[0]));
    expect(starts[1]).toBeGreaterThan(170 * MIB);
    stop.abort(new Error('enough'));
    await running;
  });
});

test('a download that is not wanted after all ends its transfer', async () => {
  await using t = await originWith(large);
  const started = await startDownload({ ...t.it.options, digest: t.digest });
  started.cancel();
  await t.origin.idle();
  expect([started.sizeBytes, t.origin.bodyBytes(t.digest) < 30 * MIB]).toEqual([large.sizeBytes, true]);
});

test('a download goes on at the first gap, and leaves out what is there', async () => {
  await using t = await originWith(small);
  await using ingest = await t.it.store.ingest(t.digest, small.sizeBytes);
  await ingest.write(0, [readBytes(small, 0, MIB)]);
  await ingest.write(2 * MIB, [readBytes(small, 2 * MIB)]);

  const started = await startDownload(
    { ...t.it.options, digest: t.digest },
    ingest.gaps({ start: 0, end: small.sizeBytes })[0],
  );
  await started.into(ingest);
  await ingest.commit();

  expect(t.origin.requests.map(({ range }) => range)).toEqual([`bytes=${MIB}-${2 * MIB - 1}`]);
});
