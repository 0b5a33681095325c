import { describe, expect, test } from 'vitest';
import { digestOf } from '../../oci/digest.ts';
import { createOciServer } from '../../service/oci-server.ts';
import { Seal } from '../../shared-tier/seal.ts';
import { type ReadClaims, type ReadReport, SignedReads } from '../../shared-tier/signed-reads.ts';
import { tierSource } from '../../shared-tier/tier-source.ts';
import { ask, readSocket } from '../support/origin-client.ts';
import { generatedBlob, readBytes } from '../support/blobs.ts';
import type { Moods } from '../support/origin-moods.ts';
import { startOrigin } from '../support/origin.ts';
import { APP, MIB, REGISTRY, placeOf, tierOf } from './fixtures.ts';

const key = Buffer.alloc(32, 9);
const blob = generatedBlob(3 * MIB + 1, 1);
const bytes = readBytes(blob);
const digest = digestOf(bytes);
const here = placeOf(APP);

/** A tier that has been asked for the blob, and serves signed reads of it. */
async function readsOf(mood: Moods = {}, isCommitted = true) {
  const stack = new AsyncDisposableStack();
  const origin = stack.use(await startOrigin());
  await origin.addBlob(APP, blob);
  origin.mood = mood;
  const tier = stack.use(await tierOf({ [REGISTRY]: origin }));
  const seal = new Seal<ReadClaims>(key, 'read');
  const reports: ReadReport[] = [];
  const counted = { bytes: 0 };
  let address = '';
  const reads = new SignedReads({
    images: tier.images,
    seal,
    advertise: () => address,
    events: {
      sent: (more) => {
        counted.bytes += more;
      },
      ended: (report) => reports.push(report),
    },
  });
  const app = createOciServer({
    source: tierSource(tier.images, tier.access),
    names: { default: REGISTRY, isListed: () => false },
    report: () => undefined,
  });
  reads.register(app);
  stack.defer(() => app.close());
  address = (await app.listen({ host: '127.0.0.1', port: 0 })).replace('http://', '');
  await tier.images.locateBlob({
    asker: { form: 'ns', authorization: undefined },
    place: here,
    digest,
    grant: new Uint8Array(),
  });
  const committed = isCommitted ? 1 : 0;
  await expect.poll(() => tier.ended.length).toBeGreaterThanOrEqual(committed);
  return {
    ...tier,
    origin,
    reads,
    reports,
    counted,
    seal,
    url: (validForMs = 60_000) => reads.url(REGISTRY, digest, validForMs),
    urlOf: (claims: object) =>
      `http://${address}/circ/v1/read/${seal.close({ ...good(), ...claims }).toString('base64url')}`,
    [Symbol.asyncDispose]: () => stack[Symbol.asyncDispose](),
  };
}

function good(): ReadClaims {
  return { registry: REGISTRY, digest, method: 'GET', endsAtMs: Date.now() + 60_000 };
}

/** 204 or 404. */
async function begun(url: string): Promise<number> {
  return (await ask(url.replace('/read/', '/begun/'))).status;
}

describe('a signed read', () => {
  test('gives all bytes, with their length', async () => {
    await using it = await readsOf();
    const answer = await ask(it.url());
    expect([answer.status, answer.body.equals(bytes)]).toEqual([200, true]);
    expect(answer.headers['content-length']).toBe(String(bytes.length));
    expect(answer.headers['transfer-encoding']).toBeUndefined();
    await expect.poll(() => it.reports).toEqual([{ bytes: bytes.length, error: undefined }]);
    expect(it.counted).toEqual({ bytes: bytes.length });
  });

  test.each([
    ['bytes=10-19', 10, 20],
    ['bytes=1000000-', 1_000_000, bytes.length],
    ['bytes=-5', bytes.length - 5, bytes.length],
    ['bytes=10-99999999', 10, bytes.length],
  ])('gives %s', async (range, start, end) => {
    await using it = await readsOf();
    const answer = await ask(it.url(), { headers: { range } });
    expect([answer.status, answer.body.equals(bytes.subarray(start, end))]).toEqual([206, true]);
    expect(answer.headers['content-range']).toBe(`bytes ${start}-${end - 1}/${bytes.length}`);
  });

  test('outside of the content is 416', async () => {
    await using it = await readsOf();
    expect((await ask(it.url(), { headers: { range: `bytes=${bytes.length}-` } })).status).toBe(416);
  });

  test('gives the bytes while they arrive', async () => {
    await using it = await readsOf({ stallAt: 2 * MIB }, false);
    const received = await readSocket(it.url(), MIB);
    const body = Buffer.from(received.text.slice(received.text.indexOf('\r\n\r\n') + 4), 'latin1');
    expect(body.equals(bytes.subarray(0, body.length))).toBe(true);
    expect(it.ended).toEqual([]);
  });

  test('of content that turns out wrong ends with RST, without the last byte', async () => {
    await using it = await readsOf({ lie: 10, bytesPerSecondPerConnection: 6 * MIB }, false);
    const received = await readSocket(it.url());
    const bodyBytes = received.bytes - received.text.indexOf('\r\n\r\n') - 4;
    expect([received.error, bodyBytes < bytes.length]).toEqual(['ECONNRESET', true]);
    await expect.poll(() => it.reports.map(({ error }) => error?.code)).toEqual(['CORRUPT']);
  });

  test('of content that stops arriving ends with FIN, so that it can be resumed', async () => {
    await using it = await readsOf({ bytesPerSecondPerConnection: MIB }, false);
    const reading = readSocket(it.url());
    await expect.poll(() => it.received.bytes).toBeGreaterThan(100_000);
    await it.fetches[Symbol.asyncDispose]();
    expect((await reading).error).toBeUndefined();
  });

  test('is counted while it goes on', async () => {
    await using it = await readsOf({ stallAt: 2 * MIB }, false);
    const gone = new AbortController();
    using ending = new DisposableStack();
    ending.defer(() => gone.abort());
    const answer = await fetch(it.url(), { signal: gone.signal });
    await expect.poll(() => it.counted.bytes).toBeGreaterThan(100_000);
    expect([answer.status, it.reports]).toEqual([200, []]);
  });

  test('is known to have begun from its beginning on, and no other one is', async () => {
    await using it = await readsOf({ stallAt: 2 * MIB }, false);
    const [url, other] = [it.url(), it.url()];
    expect([await begun(url), await begun(other)]).toEqual([404, 404]);
    await readSocket(url, 1_000);
    expect([await begun(url), await begun(other)]).toEqual([204, 404]);
    expect(await begun(it.url(-1))).toBe(404);
  });

  test('whose reader hangs up holds nothing any more', async () => {
    await using it = await readsOf({ stallAt: 2 * MIB }, false);
    await readSocket(it.url(), 1_000);
    await expect.poll(() => it.reports).toHaveLength(1);
    // Nobody follows: the ingest's readers are those of the fetch only.
    expect(it.fetches.count).toBe(1);
  });
});

describe('a signed read is refused', () => {
  test('after its end', async () => {
    await using it = await readsOf();
    expect((await ask(it.url(-1))).status).toBe(404);
  });

  test('when it is altered', async () => {
    await using it = await readsOf();
    const url = it.url();
    const at = url.lastIndexOf('/') + 1;
    const sealed = Buffer.from(url.slice(at), 'base64url');
    const statuses = await Promise.all(
      [0, 12, 40, sealed.length - 1].map(async (index) => {
        const altered = Buffer.from(sealed);
        altered[index] = (altered[index] ?? 0) ^ 1;
        return (await ask(url.slice(0, at) + altered.toString('base64url'))).status;
      }),
    );
    expect(statuses).toEqual([404, 404, 404, 404]);
  });

  test.each<[string, object]>([
    ['for another method', { method: 'HEAD' }],
    ['for content that is not here', { digest: digestOf(Buffer.from('x')) }],
    ['for another origin’s content', { registry: 'other.test' }],
    ['with a digest that is a path', { digest: '../../etc/passwd' }],
    ['with a registry that is none', { registry: 'http://x' }],
  ])('%s', async (_name, claims) => {
    await using it = await readsOf();
    expect([400, 404]).toContain((await ask(it.urlOf(claims))).status);
  });

  test('when a grant is shown in its place', async () => {
    await using it = await readsOf();
    const grant = new Seal(key, 'grant').close(good()).toString('base64url');
    expect((await ask(it.url().replace(/[^/]+$/, grant))).status).toBe(404);
  });

  test.each(['HEAD', 'POST', 'PUT', 'DELETE'])('by %s', async (method) => {
    await using it = await readsOf();
    expect([404, 405]).toContain((await ask(it.url(), { method })).status);
  });

  test.each(['', '%', '%00', '..', '../../v2/', 'a'.repeat(4_000)])('for %j instead of a seal', async (sealed) => {
    await using it = await readsOf();
    const { status } = await ask(it.url(), { target: `/circ/v1/read/${sealed}` });
    expect([400, 404]).toContain(status);
  });
});
