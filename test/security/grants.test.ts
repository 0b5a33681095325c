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

function withCredential(
  { request, metadata, credential }: Sample,
  other: string,
): { request: Message; metadata: Metadata } {
  const copy = metadata.clone();
  for (const [key, value] of Object.entries(metadata.getMap())) {
    if (String(value).includes(credential)) copy.set(key, String(value).replaceAll(credential, other));
  }
  return { request: replaced(request, credential, other) as Message, metadata: copy };
}

/** Has A pull with a token of its own, and picks what the agent said to the tier with a grant in its hand. */
async function samples(tenants: Tenants): Promise<Sample[]> {
  const { tap, house } = tenants;
  // With an agent that has forgotten its disk's content but not its grants there would be nothing to ask; so ask again.
  const credential = await tenants.token(ALICE, CACHED);
  const headers = { authorization: credential };
  const { digest } = tenants.cached.manifest;
  for (const url of [house.url('manifests', CACHED, 'v1'), house.url('manifests', CACHED, digest)]) {
    expect((await fetch(url, { headers })).status).toBe(200);
  }
  const token = credential.replace('Bearer ', '');
  const said = tap.heard.filter(
    ({ request, metadata, response }) => response !== undefined && mentions([request, metadata.getMap()], token),
  );
  expect(said.length, 'the credential reaches the tier in some field').toBeGreaterThan(0);
  const { grant } = said.at(-1)?.response ?? {};
  const { token: sealed } = (grant ?? {}) as { token?: Buffer };
  expect(sealed?.length ?? 0, 'the tier gives a grant').toBeGreaterThan(0);
  const open = { target: { registry: 'registry.test', repository: CACHED }, digest: tenants.cached.layers[0]?.digest };
  return said.map((each) => ({
    ...each,
    credential: token,
    request: { ...each.request, ...(each.method === 'OpenBlob' && open), grant: sealed },
  }));
}

describe("A's grant", () => {
  test('is taken from A, at the same or another time', async () => {
    await using tenants = await startTenants();
    for (const sample of await samples(tenants)) expect(typeof (await tenants.tap.say(sample))).toBe('object');
  });

  test('is worth nothing in the hand of B, or of nobody', async () => {
    await using tenants = await startTenants();
    const theirs = [await tenants.token(BOB, CACHED), await tenants.token(BOB, B_OWN), 'Bearer made-up'];
    for (const sample of await samples(tenants)) {
      for (const other of [...theirs.map((each) => each.replace('Bearer ', '')), '']) {
        const answer = await tenants.tap.say({ method: sample.method, ...withCredential(sample, other) });
        expect(REFUSED).toContain(answer);
      }
    }
  });

  test('that is altered or made up does not help B', async () => {
    await using tenants = await startTenants();
    const bob = (await tenants.token(BOB, CACHED)).replace('Bearer ', '');
    for (const sample of await samples(tenants)) {
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
    for (const sample of await samples(tenants)) {
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
    const all = await samples(tenants);
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
