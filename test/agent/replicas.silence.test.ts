import { describe, expect, test } from 'vitest';
import { rankFor } from '../../agent/rendezvous.ts';
import { DIGEST, replicas } from './replicas-fixture.ts';

describe('Replicas that say nothing', () => {
  test('are waited for when all of them fall silent at once, and none is left', async () => {
    await using it = await replicas(3);
    await it.until('healthy', 3);
    const silence = Promise.withResolvers<undefined>();
    for (const tier of it.tiers.values()) tier.silence = silence.promise;
    const [preferred = ''] = rankFor(DIGEST, [...it.tiers.keys()], (host) => host);
    const asking = it.askFor();
    // The second time comes after the moment at which it would be left if there were another one.
    await expect.poll(() => it.at(preferred).healthChecks, { timeout: 10_000 }).toBe(2);
    silence.resolve(undefined);
    expect(await asking).toBe(preferred);
    expect([it.replicas.count('healthy'), it.failovers]).toEqual([3, []]);
  });

  test('are left when all have been silent, as soon as one of them is heard again', async () => {
    await using it = await replicas(2);
    await it.until('healthy', 2);
    const silence = Promise.withResolvers<undefined>();
    const [first = '', second = ''] = rankFor(DIGEST, [...it.tiers.keys()], (host) => host);
    it.at(first).silence = new Promise(() => undefined);
    it.at(second).silence = silence.promise;
    const asking = it.askFor();
    await expect.poll(() => it.at(first).healthChecks, { timeout: 10_000 }).toBe(2);
    silence.resolve(undefined);
    expect(await asking).toBe(second);
    expect(it.changes.at(-1)).toBe(`${first} failed`);
  });

  test.each([
    ['said nothing', 3],
    ['stops', 2],
  ])('are given time when another has just been left that %s, and its questions come to them', async (what, checks) => {
    await using it = await replicas(3);
    await it.until('healthy', 3);
    const [first = '', second = '', third = ''] = rankFor(DIGEST, [...it.tiers.keys()], (host) => host);
    if (what === 'stops') {
      it.at(first).health.setStatus('', 'NOT_SERVING');
      await it.until('failed', 1);
    } else {
      it.at(first).silence = new Promise(() => undefined);
    }
    const silence = Promise.withResolvers<undefined>();
    it.at(second).answers.openBlob = () => {
      it.at(second).silence = silence.promise;
      return { size: 1, readUrl: `http://${second}:1/x` };
    };
    const asking = it.askFor();
    // The second of its own comes when it would have been left else; before them one when the first was suspected.
    await expect.poll(() => it.at(second).healthChecks, { timeout: 10_000 }).toBe(checks);
    expect(it.changes.slice(3)).toEqual([`${first} failed`]);
    silence.resolve(undefined);
    expect(await asking).toBe(second);
    expect([it.at(third).blobQuestions, it.replicas.count('healthy')]).toEqual([[], 2]);
  });

  test('are UNAVAILABLE when all of them stay silent for three seconds', async () => {
    await using it = await replicas(2);
    await it.until('healthy', 2);
    for (const tier of it.tiers.values()) tier.silence = new Promise(() => undefined);
    const startedAt = performance.now();
    await expect(it.askFor()).rejects.toMatchObject({ code: 'UNAVAILABLE' });
    expect(performance.now() - startedAt).toBeGreaterThan(2_500);
    expect(performance.now() - startedAt).toBeLessThan(8_000);
    await it.until('failed', 2);
  });
});
