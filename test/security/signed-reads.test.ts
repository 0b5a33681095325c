import { randomBytes } from 'node:crypto';
import { describe, expect, test } from 'vitest';
import { readBytes } from '../support/blobs.ts';
import { takeClock } from '../support/house-clock.ts';
import { type Answer, ask } from '../support/origin-client.ts';
import { CACHED, type Tenants, holdsBytes, startTenants } from './tenants.ts';

/** The signed read that the tier gave A's agent for the layer. */
function readUrlOf({ tap, cached }: Tenants): URL {
  const digest = cached.layers[0]?.digest;
  const opened = tap.heard.findLast(({ request, response }) => request['digest'] === digest && response !== undefined);
  const url = Object.values(opened?.response ?? {}).find((value) => String(value).startsWith('http'));
  return new URL(String(url));
}

/** The sealed part of a signed read. */
function sealedIn(url: URL): string {
  return url.pathname.split('/').at(-1) ?? '';
}

function withSealed(url: URL, sealed: string): string {
  return url.href.replace(sealedIn(url), sealed);
}

/** What was got: refused, it is 404, in the one way in which all are refused, and without a byte. */
function got(answer: Answer, tenants: Tenants): [status: number, leaks: boolean] {
  return [answer.status, holdsBytes(answer, tenants.layer)];
}

const REFUSED = [404, false];

describe('a signed read', () => {
  test('is the right to read this content, in ranges too', async () => {
    await using tenants = await startTenants();
    const url = readUrlOf(tenants).href;
    const bytes = readBytes(tenants.layer);
    expect((await ask(url)).body.equals(bytes)).toBe(true);
    const part = await ask(url, { headers: { range: 'bytes=5-9' } });
    expect([part.status, part.body.equals(bytes.subarray(5, 10))]).toEqual([206, true]);
  });

  test('that is altered in any of its characters is none', async () => {
    await using tenants = await startTenants();
    const url = readUrlOf(tenants);
    const sealed = sealedIn(url);
    const places = Array.from({ length: 64 }, (_, index) => Math.floor((index * (sealed.length - 1)) / 64));
    for (const at of places) {
      const other = sealed[at] === 'A' ? 'B' : 'A';
      expect(got(await ask(withSealed(url, sealed.slice(0, at) + other + sealed.slice(at + 1))), tenants)).toEqual(
        REFUSED,
      );
    }
  });

  test('that is cut, lengthened, emptied or guessed is none', async () => {
    await using tenants = await startTenants();
    const url = readUrlOf(tenants);
    const sealed = sealedIn(url);
    const others = [
      ...[1, 16, 28, 40].map((length) => sealed.slice(0, -length)),
      `${sealed}AAAA`,
      `AAAA${sealed}`,
      sealed + sealed,
      sealed.slice(4),
      'A',
      'AAAA',
      '%00',
      `${sealed}/x`,
      ...Array.from({ length: 50 }, () => randomBytes(Math.floor((sealed.length * 3) / 4)).toString('base64url')),
    ];
    const answers = await Promise.all(others.map((other) => ask(withSealed(url, other))));
    for (const answer of answers) {
      expect(holdsBytes(answer, tenants.layer)).toBe(false);
      expect([400, 404]).toContain(answer.status);
    }
    const guesses = answers.slice(-50);
    expect(new Set(guesses.map(({ status, body }) => `${status} ${body.toString()}`)).size).toBe(1);
  });

  test('is for GET alone', async () => {
    await using tenants = await startTenants();
    const url = readUrlOf(tenants).href;
    for (const method of ['HEAD', 'POST', 'PUT', 'DELETE', 'PATCH', 'OPTIONS']) {
      const answer = await ask(url, { method });
      expect([method, answer.status >= 400, holdsBytes(answer, tenants.layer)]).toEqual([method, true, false]);
    }
  });

  test('ends with the proof that it comes from', async () => {
    using clock = takeClock();
    await using tenants = await startTenants();
    const url = readUrlOf(tenants).href;
    await clock.forward(60_001);
    expect(got(await ask(url), tenants)).toEqual(REFUSED);
  });

  test('ends no later, though it was given in the last moments of the proof', async () => {
    using clock = takeClock();
    await using tenants = await startTenants();
    const { tap, cached } = tenants;
    const digest = cached.layers[0]?.digest;
    const first = tap.heard.find(({ request, response }) => request['digest'] === digest && response !== undefined);
    await clock.forward(55_000);
    const before = tenants.house.origin.requests.length;
    const late = first && (await tap.say(first));
    expect(late).toMatchObject({ size: cached.layers[0]?.sizeBytes });
    // If the registry was asked anew, a new proof has begun, and with it a new end.
    const isNew = tenants.house.origin.requests.length > before;
    tenants.house.origin.access.users.delete('alice');
    tenants.house.origin.tokens.revokeAll();
    await clock.forward(isNew ? 60_001 : 5_001);
    const url = Object.values(late ?? {}).find((value) => String(value).startsWith('http'));
    expect(got(await ask(String(url)), tenants)).toEqual(REFUSED);
  });

  test('is none under another key, as after a new start without a key file', async () => {
    await using tenants = await startTenants();
    const url = readUrlOf(tenants).href;
    await tenants.house.restartTier();
    expect(got(await ask(url), tenants)).toEqual(REFUSED);
  });

  test('is no grant, and a grant is no signed read', async () => {
    await using tenants = await startTenants();
    const { tap } = tenants;
    const url = readUrlOf(tenants);
    const tokens = tap.heard.flatMap(({ response }) => {
      const { token } = (response?.['grant'] ?? {}) as { token?: Buffer };
      return token === undefined || token.length === 0 ? [] : [token];
    });
    expect(tokens.length).toBeGreaterThan(0);
    for (const token of tokens) {
      expect(got(await ask(withSealed(url, token.toString('base64url'))), tenants)).toEqual(REFUSED);
    }
    const opened = tap.heard.find(({ method, response }) => method === 'OpenBlob' && response !== undefined);
    const request = { target: opened?.request['target'], digest: opened?.request['digest'] };
    const grant = Buffer.from(sealedIn(url), 'base64url');
    const metadata = opened?.metadata.clone();
    metadata?.remove('authorization');
    const answer = metadata && (await tap.say({ method: 'OpenBlob', request: { ...request, grant }, metadata }));
    expect(['NOT_FOUND', 'UNAUTHENTICATED']).toContain(answer);
    expect(request.target).toMatchObject({ repository: CACHED });
  });
});
