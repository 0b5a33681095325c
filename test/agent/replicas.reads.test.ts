import { describe, expect, test } from 'vitest';
import { rankFor } from '../../agent/rendezvous.ts';
import type { OciError } from '../../oci/error.ts';
import { CALLER } from './fixtures.ts';
import { ASK, DIGEST, replicas } from './replicas-fixture.ts';

describe('reads of a replica', () => {
  test('belong to the replica in the URL, else to the one that answered, and to nobody without an answer', async () => {
    await using it = await replicas(2);
    await it.until('healthy', 2);
    const [first = '', second = ''] = rankFor(DIGEST, [...it.tiers.keys()], (host) => host);
    const leaveAfter = async (readUrl: string, isSilent = false): Promise<void> => {
      it.at(first).answers.openBlob = () => ({ readUrl });
      const { readUrl: url } = await it.replicas.openBlob(CALLER, DIGEST, ASK);
      if (!url) throw new Error('there is a URL');
      using reading = it.replicas.peerOf(url)?.reading(() => undefined);
      reading?.unreachable(isSilent);
    };
    await leaveAfter(`http://${second}:1/x`);
    expect(it.changes.at(-1)).toBe(`${second} failed`);
    // That a connection has not been made in time may be the crowd, which has just come from the other one.
    await leaveAfter(`http://${first}:1/x`, true);
    expect(it.changes.at(-1)).toBe(`${second} failed`);
    await leaveAfter('http://elsewhere.test:1/x');
    expect(it.changes.at(-1)).toBe(`${first} failed`);
    expect(it.failovers).toEqual(['read', 'read']);
    expect(it.replicas.peerOf(new URL(`http://${first}:1/x`))).toBeUndefined();
  });

  test('end when the replica says nothing and answers nothing, and not before', async () => {
    await using it = await replicas(1);
    const { readUrl } = await it.replicas.openBlob(CALLER, DIGEST, ASK);
    if (!readUrl) throw new Error('there is a URL');
    const ended = Promise.withResolvers<OciError>();
    using reading = it.replicas.peerOf(readUrl)?.reading(ended.resolve);
    await expect.poll(() => it.at('127.0.0.2').healthChecks, { timeout: 10_000 }).toBeGreaterThanOrEqual(2);
    expect(it.changes).toEqual(['127.0.0.2 healthy']);
    await it.at('127.0.0.2')[Symbol.asyncDispose]();
    reading?.heard();
    expect((await ended.promise).code).toBe('UNAVAILABLE');
    expect(it.failovers).toEqual(['read']);
  });
});
