import type { Metadata } from '@grpc/grpc-js';
import { describe, expect, test } from 'vitest';
import type { Message, Tapped } from '../support/grpc-tap.ts';
import { takeClock } from '../support/house-clock.ts';
import { ALICE, BOB, B_OWN, CACHED, NEVER, type Tenants, startTenants } from './tenants.ts';

/** A question that A's agent asked with a grant and A's credential, the credential wherever the contract puts it. */
interface Sample extends Tapped {
  readonly credential: string;
}

const REFUSED = ['NOT_FOUND', 'UNAUTHENTICATED'];

/** Replaces a text wherever it is in a message, as text or as bytes. */
function replaced(value: unknown, from: string, to: string): unknown {
  if (typeof value === 'string') return value.replaceAll(from, to);
  if (Buffer.isBuffer(value)) return value.includes(from) ? Buffer.from(value.toString().replaceAll(from, to)) : value;
  if (Array.isArray(value)) return value.map((each) => replaced(each, from, to));
  if (typeof value !== 'object' || value === null) return value;
  return Object.fromEntries(Object.entries(value).map(([key, each]) => [key, replaced(each, from, to)]));
}

/** Is the text anywhere in the message, as text or as bytes? */
function mentions(value: unknown, text: string): boolean {
  if (typeof value === 'string' || Buffer.isBuffer(value)) return value.includes(text);
  return typeof value === 'object' && value !== null && Object.values(value).some((each) => mentions(each, text));
}

/** The same question with another token in place of A's; with none at all for the empty text. */
function withCredential(
  { request, metadata, credential }: Sample,
  other: string,
): { request: Message; metadata: Metadata } {
  const copy = metadata.clone();
  const from = other === '' ? `Bearer ${credential}` : credential;
  for (const [key, value] of Object.entries(metadata.getMap())) {
    if (String(value).includes(from)) copy.set(key, String(value).replaceAll(from, other));
  }
  return { request: replaced(request, from, other) as Message, metadata: copy };
}

/** What A's agent said to the tier in these pulls, each with a grant that was given to the same credential. */
function samples({ tap, house }: Tenants): Sample[] {
  const { tokens } = house.origin.tokens;
  const said = tap.heard.flatMap((each) => {
    const credential = tokens.find((token) => mentions([each.request, each.metadata.getMap()], token));
    return each.response === undefined || credential === undefined ? [] : [{ ...each, credential }];
  });
  const all = said.flatMap((each) => {
    const given = said
      .filter(({ credential }) => credential === each.credential)
      .map(({ response }) => grantIn(response));
    const grant = given.findLast((sealed) => sealed !== undefined);
    return grant === undefined ? [] : [{ ...each, request: { ...each.request, grant } }];
  });
  // Else nothing would be tried, and nothing could fail.
  expect(new Set(all.map(({ method }) => method))).toEqual(new Set(['ResolveManifest', 'OpenBlob']));
  return all;
}

function grantIn(response: Message | undefined): Buffer | undefined {
  const { token } = (response?.['grant'] ?? {}) as { token?: Buffer };
  return token !== undefined && token.length > 0 ? token : undefined;
}

describe("A's grant", () => {
  test('is taken from A, at the same or another time', async () => {
    await using tenants = await startTenants();
    for (const sample of samples(tenants)) expect(typeof (await tenants.tap.say(sample))).toBe('object');
  });

  test('is worth nothing in the hand of B, or of nobody', async () => {
    await using tenants = await startTenants();
    const theirs = [await tenants.token(BOB, CACHED), await tenants.token(BOB, B_OWN), 'Bearer made-up'];
    for (const sample of samples(tenants)) {
      for (const other of [...theirs.map((each) => each.replace('Bearer ', '')), '']) {
        const answer = await tenants.tap.say({ method: sample.method, ...withCredential(sample, other) });
        expect(REFUSED).toContain(answer);
      }
    }
  });

  test('that is altered or made up does not help B', async () => {
    await using tenants = await startTenants();
    const bob = (await tenants.token(BOB, CACHED)).replace('Bearer ', '');
    for (const sample of samples(tenants)) {
      const { request, metadata } = withCredential(sample, bob);
      const sealed = request['grant'] as Buffer;
      for (const at of [0, 5, 12, Math.floor(sealed.length / 2), sealed.length - 1]) {
        const grant = Buffer.from(sealed);
        grant.writeUInt8(grant.readUInt8(at) ^ 1, at);
        expect(REFUSED).toContain(
          await tenants.tap.say({ method: sample.method, request: { ...request, grant }, metadata }),
        );
      }
      for (const grant of [Buffer.alloc(0), Buffer.alloc(64), sealed.subarray(0, 20), Buffer.alloc(60_000)]) {
        expect(REFUSED).toContain(
          await tenants.tap.say({ method: sample.method, request: { ...request, grant }, metadata }),
        );
      }
    }
  });

  test('is for its repository alone', async () => {
    await using tenants = await startTenants();
    const digest = tenants.never.layers[0]?.digest;
    tenants.house.origin.access.users.set('alice', { password: ALICE.password, repositories: [CACHED] });
    for (const sample of samples(tenants)) {
      for (const repository of [NEVER, B_OWN]) {
        const request = { ...sample.request, target: { registry: 'registry.test', repository } };
        const own = await tenants.tap.say({
          ...sample,
          request: { ...request, ...('digest' in request && { digest }) },
        });
        const cached = await tenants.tap.say({ ...sample, request });
        expect([own, cached].filter((answer) => typeof answer !== 'string')).toEqual([]);
      }
    }
  });

  test('ends, and is not lengthened by being used', async () => {
    using clock = takeClock();
    await using tenants = await startTenants();
    const all = samples(tenants);
    for (let time = 1; time <= 4; time += 1) {
      await clock.forward(14_000);
      for (const sample of all) await tenants.tap.say(sample);
    }
    tenants.house.origin.access.users.delete('alice');
    tenants.house.origin.tokens.revokeAll();
    await clock.forward(60_001);
    for (const sample of all) expect(REFUSED).toContain(await tenants.tap.say(sample));
  });

  test('of a revoked credential is of no use a minute later, at the agent neither', async () => {
    using clock = takeClock();
    await using tenants = await startTenants();
    const authorization = await tenants.token(ALICE, CACHED);
    await tenants.pullAsA();
    tenants.house.origin.access.users.delete('alice');
    tenants.house.origin.tokens.revokeAll();
    await clock.forward(60_001);
    const { house, cached } = tenants;
    const urls = [
      house.url('manifests', CACHED, cached.manifest.digest),
      house.url('blobs', CACHED, cached.layers[0]?.digest ?? ''),
    ];
    for (const url of urls) {
      const { status } = await fetch(url, { headers: { authorization } });
      expect([401, 404]).toContain(status);
    }
  });
});
