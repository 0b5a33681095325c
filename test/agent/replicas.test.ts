import { describe, expect, test } from 'vitest';
import { rankFor } from '../../agent/rendezvous.ts';
import { TierClient } from '../../agent/tier-client.ts';
import { OciError } from '../../oci/error.ts';
import { takeClock } from '../support/house-clock.ts';
import { scripted } from '../support/house-tcp.ts';
import { scriptedTier } from '../support/house-tier.ts';
import { blackHole } from '../support/house-wire.ts';
import { CALLER } from './fixtures.ts';
import { DIGEST, DIGESTS, TAG, replicas } from './replicas-fixture.ts';

const firstOf = (key: string, hosts: Iterable<string>): string | undefined =>
  rankFor(key, [...hosts], (host) => host)[0];

describe('Replicas', () => {
  test('are asked from the first moment on, as soon as one can be', async () => {
    await using it = await replicas(1);
    expect(await it.askFor()).toBe('127.0.0.2');
    expect(it.changes).toEqual(['127.0.0.2 healthy']);
  });

  test('are preferred by digest for blobs, and by repository for manifests', async () => {
    const manifest = { mediaType: 'a/b', digest: DIGEST, size: 1 };
    await using it = await replicas(3, { answers: { resolveManifest: () => ({ manifest }) } });
    await it.until('healthy', 3);
    const hosts = [...it.tiers.keys()];
    for (const digest of DIGESTS) expect(await it.askFor(digest)).toBe(firstOf(digest, hosts));
    for (let time = 1; time <= 3; time += 1) {
      await it.replicas.resolveManifest(CALLER, TAG, { accept: [], withContent: false, grant: new Uint8Array() });
    }
    const preferred = firstOf('registry.test/org/app', hosts) ?? '';
    expect(it.at(preferred).manifestQuestions).toHaveLength(3);
    expect(it.failovers).toEqual([]);
  });

  test('are asked in their turn when one breaks off in the middle of a question', async () => {
    await using it = await replicas(3);
    await it.until('healthy', 3);
    const [first = '', second] = rankFor(DIGEST, [...it.tiers.keys()], (host) => host);
    it.at(first).answers.openBlob = async () => {
      await it.at(first)[Symbol.asyncDispose]();
      return {};
    };
    expect(await it.askFor()).toBe(second);
    expect(it.failovers).toEqual(['question']);
    await it.until('failed', 1);
    expect(await it.askFor()).toBe(second);
    expect(it.failovers).toEqual(['question']);
  });

  test('are asked in their turn when one has no room for what it would pass through', async () => {
    await using it = await replicas(3);
    await it.until('healthy', 3);
    const [first = '', second = '', third = ''] = rankFor(DIGEST, [...it.tiers.keys()], (host) => host);
    const passing = (host: string) => {
      it.at(host).answers.openBlob = () => ({ size: 1, readUrl: `http://${host}:1/x`, passedThrough: true });
    };
    passing(first);
    expect(await it.askFor()).toBe(second);
    passing(second);
    expect(await it.askFor()).toBe(third);
    // When all do it, or the others fail, the first one does it: then at least those who ask at once meet there.
    passing(third);
    expect(await it.askFor()).toBe(first);
    it.at(second).answers.openBlob = () => {
      throw new OciError('UNAVAILABLE', 'the origin is away');
    };
    expect(await it.askFor()).toBe(first);
  });

  test('are not asked again what one of them has answered, be it UNAVAILABLE', async () => {
    await using it = await replicas(2, {
      answers: {
        openBlob: () => {
          throw new OciError('UNAVAILABLE', 'the origin is away');
        },
      },
    });
    await it.until('healthy', 2);
    await expect(it.askFor()).rejects.toMatchObject({ code: 'UNAVAILABLE', message: 'the origin is away' });
    expect([...it.tiers.values()].flatMap((tier) => tier.blobQuestions)).toHaveLength(1);
  });

  test('are not asked again when the time for the question is over', async () => {
    await using it = await replicas(2, {
      answers: { openBlob: () => new Promise(() => undefined) },
      connect: (address) => new TierClient(address, { deadlineMs: 150 }),
    });
    await it.until('healthy', 2);
    await expect(it.askFor()).rejects.toMatchObject({ code: 'UNAVAILABLE' });
    expect(it.failovers).toEqual([]);
    expect(it.replicas.count('healthy')).toBe(2);
  });

  test('are waited for while they take their time over a question, as long as they live', async () => {
    const answer = Promise.withResolvers<{ size: number; readUrl: string }>();
    await using it = await replicas(1, { answers: { openBlob: () => answer.promise } });
    const asking = it.askFor();
    // Longer than the silence that is borne of one that does not even answer a health check.
    await expect.poll(() => it.at('127.0.0.2').healthChecks, { timeout: 10_000 }).toBeGreaterThanOrEqual(2);
    answer.resolve({ size: 1, readUrl: 'http://127.0.0.9:1/x' });
    expect(await asking).toBe('127.0.0.9');
    expect(it.changes).toEqual(['127.0.0.2 healthy']);
  });

  test('are left when they say that they stop, and taken back when they say so', async () => {
    await using it = await replicas(2);
    await it.until('healthy', 2);
    const preferred = firstOf(DIGEST, it.tiers.keys()) ?? '';
    it.at(preferred).health.setStatus('', 'NOT_SERVING');
    await it.until('failed', 1);
    expect(await it.askFor()).not.toBe(preferred);
    it.at(preferred).health.setStatus('', 'SERVING');
    await it.until('healthy', 2);
    expect(await it.askFor()).toBe(preferred);
    expect(it.failovers).toEqual([]);
  });

  test('that are gone are UNAVAILABLE at once, and found when they are back', async () => {
    await using it = await replicas(1, { retryMs: 300 });
    await it.until('healthy', 1);
    const { address } = it.at('127.0.0.2');
    await it.at('127.0.0.2')[Symbol.asyncDispose]();
    await it.until('failed', 1);
    const startedAt = performance.now();
    await expect(it.askFor()).rejects.toMatchObject({ code: 'UNAVAILABLE' });
    expect(performance.now() - startedAt).toBeLessThan(200);
    await using back = await scriptedTier(
      { openBlob: () => ({ readUrl: 'http://127.0.0.2:1/x' }) },
      { listen: address },
    );
    await it.until('healthy', 1);
    expect(await it.askFor()).toBe('127.0.0.2');
    expect(back.blobQuestions).toHaveLength(1);
  });

  test('that lose a connection which has stood for a while are asked over a new one at once', async () => {
    using clock = takeClock();
    await using it = await replicas(1);
    await it.until('healthy', 1);
    await clock.forward(10_000);
    const { address } = it.at('127.0.0.2');
    it.at('127.0.0.2').answers.openBlob = async () => {
      await it.at('127.0.0.2')[Symbol.asyncDispose]();
      it.tiers.set(
        '127.0.0.2',
        await scriptedTier({ openBlob: () => ({ readUrl: 'http://127.0.0.8:1/x' }) }, { listen: address }),
      );
      return {};
    };
    expect(await it.askFor()).toBe('127.0.0.8');
    expect(it.changes).toEqual(['127.0.0.2 healthy', '127.0.0.2 connecting', '127.0.0.2 healthy']);
    await it.at('127.0.0.2')[Symbol.asyncDispose]();
  });

  test.each([
    [
      'accepts connections and says nothing',
      async () => {
        const server = await scripted(() => undefined);
        return {
          address: { host: '127.0.0.1', port: server.port },
          [Symbol.asyncDispose]: () => server[Symbol.asyncDispose](),
        };
      },
    ],
    ['does not even accept connections', blackHole],
  ])('are UNAVAILABLE within a second when the only one %s, and then at once', async (_name, start) => {
    await using there = await start();
    await using it = await replicas(0, { tier: there.address, lookup: async () => [there.address.host] });
    const startedAt = performance.now();
    await expect(it.askFor()).rejects.toMatchObject({ code: 'UNAVAILABLE' });
    expect(performance.now() - startedAt).toBeLessThan(3_000);
    const again = performance.now();
    await expect(it.askFor()).rejects.toMatchObject({ code: 'UNAVAILABLE' });
    expect(performance.now() - again).toBeLessThan(200);
    expect(it.changes).toEqual(['127.0.0.1 failed']);
  });

  test('come and go with the addresses of the name', async () => {
    using clock = takeClock();
    let known = ['127.0.0.2'];
    await using it = await replicas(3, { lookup: async () => known });
    expect(await it.askFor()).toBe('127.0.0.2');
    known = ['127.0.0.3', '127.0.0.4'];
    await clock.forward(5_000);
    expect(known).toContain(await it.askFor());
    await it.until('healthy', 2);
    for (const digest of DIGESTS) expect(await it.askFor(digest)).toBe(firstOf(digest, known));
  });

  test('are looked up anew while they are gone, though nobody asks', async () => {
    let known = ['127.0.0.2'];
    await using it = await replicas(2, { lookup: async () => known, retryMs: 300 });
    await it.until('healthy', 1);
    await it.at('127.0.0.2')[Symbol.asyncDispose]();
    await it.until('failed', 1);
    known = ['127.0.0.3'];
    await it.until('healthy', 1);
    expect(it.changes.at(-1)).toBe('127.0.0.3 healthy');
  });

  test('that stay away are told as lost at each attempt, and as failed once', async () => {
    await using it = await replicas(1, { retryMs: 50 });
    await it.until('healthy', 1);
    await it.at('127.0.0.2')[Symbol.asyncDispose]();
    await expect.poll(() => it.losses.length, { timeout: 10_000 }).toBeGreaterThan(3);
    expect(it.changes.filter((change) => change.endsWith('failed'))).toHaveLength(1);
  });

  test('are found when the name has an address at last, though nobody asks', async () => {
    let known: string[] = [];
    await using it = await replicas(1, { lookup: async () => known, retryMs: 100 });
    await expect.poll(() => it.failures.length).toBeGreaterThan(1);
    known = ['127.0.0.2'];
    await it.until('healthy', 1);
    const { length } = it.failures;
    await it.askFor();
    expect(it.failures).toHaveLength(length);
  });

  test('stay as they are when the name cannot be resolved any more', async () => {
    using clock = takeClock();
    let isUp = true;
    await using it = await replicas(1, {
      lookup: async () => {
        if (!isUp) throw new Error('SERVFAIL');
        return ['127.0.0.2'];
      },
    });
    await it.askFor();
    isUp = false;
    await clock.forward(5_000);
    await it.askFor();
    await expect.poll(() => it.failures).toHaveLength(1);
    expect(await it.askFor()).toBe('127.0.0.2');
  });

  test.each([
    ['fails', () => Promise.reject(new Error('ENOTFOUND'))],
    ['hangs', () => new Promise<string[]>(() => undefined)],
  ])('are UNAVAILABLE in time when the resolver %s', async (_name, lookup) => {
    await using it = await replicas(1, { lookup });
    const startedAt = performance.now();
    await expect(it.askFor()).rejects.toMatchObject({ code: 'UNAVAILABLE' });
    expect(performance.now() - startedAt).toBeLessThan(3_000);
  });

  test('that are disposed answer what is still asked of them', async () => {
    await using it = await replicas(1, { answers: { openBlob: () => new Promise(() => undefined) } });
    await it.until('healthy', 1);
    const asking = it.askFor();
    await expect.poll(() => it.at('127.0.0.2').blobQuestions).toHaveLength(1);
    it.replicas[Symbol.dispose]();
    await expect(asking).rejects.toMatchObject({ code: 'UNAVAILABLE' });
    await expect(it.askFor()).rejects.toMatchObject({ code: 'UNAVAILABLE' });
  });
});
