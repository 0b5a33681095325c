import type { Socket } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import { describe, expect, test } from 'vitest';
import { TierClient } from '../../agent/tier-client.ts';
import { Authorization } from '../../oci/authorization.ts';
import { digestOf } from '../../oci/digest.ts';
import { ERROR_CODES, OciError } from '../../oci/error.ts';
import { isUnanswered } from '../../proto/status.ts';
import { scripted } from '../support/house-tcp.ts';
import { scriptedTier } from '../support/house-tier.ts';
import { CALLER } from './fixtures.ts';

const DIGEST = digestOf(Buffer.from('a'));
const TAG = { kind: 'tag', tag: 'v1' } as const;
const ASK = { grant: new Uint8Array(), statOnly: false };

describe('TierClient', () => {
  test('asks what the contract says, and reads the answer', async () => {
    const descriptor = { mediaType: 'application/x', digest: DIGEST, size: 2 ** 45 };
    await using tier = await scriptedTier({
      resolveManifest: () => ({
        manifest: descriptor,
        content: Buffer.from('a'),
        readable: [descriptor],
        fromOrigin: true,
        grant: { token: Buffer.from('sealed'), validForMs: 1_000 },
      }),
      openBlob: () => ({ size: 7, readUrl: 'http://127.0.0.1:1/x', fromOrigin: true }),
    });
    using client = new TierClient(tier.address);
    const question = { accept: ['a/b', 'c/d'], withContent: true, grant: Buffer.from('mine') };
    const authorization = Authorization.basic({ username: 'u', password: 'p' });
    const askedAtMs = Date.now();
    expect(await client.resolveManifest({ ...CALLER, form: 'path', authorization }, TAG, question)).toEqual({
      descriptor: { mediaType: 'application/x', digest: DIGEST, sizeBytes: 2 ** 45 },
      content: new Uint8Array(Buffer.from('a')),
      readable: [{ mediaType: 'application/x', digest: DIGEST, sizeBytes: 2 ** 45 }],
      fromOrigin: true,
      grant: { token: new Uint8Array(Buffer.from('sealed')), endsAtMs: expect.closeTo(askedAtMs + 1_000, -3) },
    });
    expect(tier.manifestQuestions[0]).toMatchObject({
      target: { registry: 'registry.test', repository: 'org/app' },
      reference: 'v1',
      accept: ['a/b', 'c/d'],
      withContent: true,
      grant: Buffer.from('mine'),
      authorization: authorization.header,
      form: 'FORM_PATH',
    });
    const blob = await client.openBlob(CALLER, DIGEST, { grant: new Uint8Array(), statOnly: true });
    expect(blob).toEqual({
      sizeBytes: 7,
      readUrl: new URL('http://127.0.0.1:1/x'),
      fromOrigin: true,
      isPassedThrough: false,
      grant: undefined,
    });
    const nobody = { authorization: '', form: 'FORM_NS' };
    expect(tier.blobQuestions[0]).toMatchObject({ digest: DIGEST, statOnly: true, ...nobody });
  });

  test.each(ERROR_CODES.map((code) => [code]))('passes %s on as it is', async (code) => {
    await using tier = await scriptedTier({
      openBlob: () => {
        throw new OciError(code, 'said by the tier', { denied: true });
      },
    });
    using client = new TierClient(tier.address);
    await expect(client.openBlob(CALLER, DIGEST, ASK)).rejects.toMatchObject({
      code,
      message: 'said by the tier',
      denied: true,
    });
  });

  test.each([
    ['no descriptor', {}],
    ['a descriptor with a bad digest', { manifest: { mediaType: 'a/b', digest: '../../etc/passwd', size: 1 } }],
  ])('throws when the answer has %s', async (_name, answer) => {
    await using tier = await scriptedTier({ resolveManifest: () => answer });
    using client = new TierClient(tier.address);
    const asking = client.resolveManifest(CALLER, TAG, { accept: [], withContent: false, grant: new Uint8Array() });
    await expect(asking).rejects.toBeInstanceOf(OciError);
  });

  test('gives bytes that take no more memory than they are long', async () => {
    const descriptor = { mediaType: 'application/x', digest: DIGEST, size: 1 };
    await using tier = await scriptedTier({
      resolveManifest: () => ({
        manifest: descriptor,
        content: Buffer.from('a'),
        grant: { token: Buffer.from('sealed'), validForMs: 1_000 },
      }),
    });
    using client = new TierClient(tier.address);
    const question = { accept: [], withContent: true, grant: new Uint8Array() };
    const { content, grant } = await client.resolveManifest(CALLER, TAG, question);
    expect([content.buffer.byteLength, grant?.token.buffer.byteLength]).toEqual([1, 6]);
  });

  test('takes an answer whose URL is none as one without URL', async () => {
    await using tier = await scriptedTier({ openBlob: () => ({ size: 7, readUrl: 'nonsense' }) });
    using client = new TierClient(tier.address);
    await expect(client.openBlob(CALLER, DIGEST, ASK)).resolves.toMatchObject({ readUrl: undefined });
  });

  test('says UNAVAILABLE at once when nobody listens', async () => {
    const server = await scripted(() => undefined);
    const { port } = server;
    await server[Symbol.asyncDispose]();
    using client = new TierClient({ host: '127.0.0.1', port });
    for (let time = 1; time <= 3; time += 1) {
      const startedAt = performance.now();
      await expect(client.openBlob(CALLER, DIGEST, ASK)).rejects.toMatchObject({ code: 'UNAVAILABLE' });
      expect(performance.now() - startedAt).toBeLessThan(500);
    }
  });

  test.each([
    ['speaks no HTTP/2', (socket: Socket) => void socket.end('SSH-2.0-OpenSSH\r\n')],
    ['accepts and says nothing', () => undefined],
  ])('says UNAVAILABLE in time when what listens %s', async (_name, script) => {
    await using server = await scripted(script);
    using client = new TierClient({ host: '127.0.0.1', port: server.port }, { deadlineMs: 300 });
    const startedAt = performance.now();
    await expect(client.openBlob(CALLER, DIGEST, ASK)).rejects.toMatchObject({ code: 'UNAVAILABLE' });
    expect(performance.now() - startedAt).toBeLessThan(2_000);
  });

  test('says UNAVAILABLE in time when the tier does not answer', async () => {
    const over = new AbortController();
    await using tier = await scriptedTier({
      openBlob: async () => {
        await sleep(60_000, undefined, { signal: over.signal }).catch(() => undefined);
        return {};
      },
    });
    using client = new TierClient(tier.address, { deadlineMs: 200 });
    await expect(client.openBlob(CALLER, DIGEST, ASK)).rejects.toMatchObject({ code: 'UNAVAILABLE' });
    over.abort();
  });

  test('ends what is asked when it is disposed, and can be asked nothing after that', async () => {
    await using tier = await scriptedTier({ openBlob: () => new Promise(() => undefined) });
    const client = new TierClient(tier.address);
    const asking = client.openBlob(CALLER, DIGEST, ASK);
    await expect.poll(() => tier.blobQuestions).toHaveLength(1);
    client[Symbol.dispose]();
    client.check(() => expect.unreachable());
    for (const asked of [asking, client.openBlob(CALLER, DIGEST, ASK)]) {
      const error: unknown = await asked.catch((reason: unknown) => reason);
      expect(error).toMatchObject({ code: 'UNAVAILABLE' });
      expect(isUnanswered(error)).toBe(true);
    }
  });

  test('tells whether the tier serves, now and after each change, until the tier is gone', async () => {
    await using tier = await scriptedTier();
    using client = new TierClient(tier.address);
    const told: boolean[] = [];
    const watching = (async () => {
      for await (const isServing of client.serving()) told.push(isServing);
    })();
    await expect.poll(() => told).toEqual([true]);
    tier.health.setStatus('', 'NOT_SERVING');
    tier.health.setStatus('', 'SERVING');
    await expect.poll(() => told).toEqual([true, false, true]);
    await tier[Symbol.asyncDispose]();
    await expect(watching).rejects.toBeInstanceOf(Error);
  });

  test('is told of a sign of life only when there is one', async () => {
    await using tier = await scriptedTier();
    using client = new TierClient(tier.address);
    const answered = Promise.withResolvers<void>();
    client.check(answered.resolve);
    await answered.promise;
    await tier[Symbol.asyncDispose]();
    let isAlive = false;
    client.check(() => (isAlive = true));
    await expect(client.openBlob(CALLER, DIGEST, ASK)).rejects.toMatchObject({ code: 'UNAVAILABLE' });
    expect(isAlive).toBe(false);
  });
});
