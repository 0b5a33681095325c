import { describe, expect, test, vi } from 'vitest';
import { Authorization } from '../../oci/authorization.ts';
import { digestOf } from '../../oci/digest.ts';
import { Callers } from '../../shared-tier/access/caller.ts';
import { ANONYMOUS, type Credential } from '../../shared-tier/origin/credential.ts';
import { generatedBlob, readBytes } from '../support/blobs.ts';
import { type OriginOptions, startOrigin } from '../support/origin.ts';
import { APP, MIB, REGISTRY, type TierOptions, bytesOf, failureOf, placeOf, rightsAt, tierOf } from './fixtures.ts';

const blob = generatedBlob(8 * MIB + 5, 1);
const bytes = readBytes(blob);
const digest = digestOf(bytes);
const here = placeOf(APP);
const there = placeOf('org/other');
const users = {
  alice: { password: 'a', repositories: [APP] },
  bob: { password: 'b', repositories: [APP, 'org/other'] },
  eve: { password: 'e', repositories: [] },
};
const CLOSED: OriginOptions = { auth: 'bearer', privateRepositories: [APP, 'org/other'], users };
const callers = new Callers(Buffer.alloc(32, 1));
const [alice, bob, eve] = (['alice', 'bob', 'eve'] as const).map((username) =>
  callers.credential(Authorization.basic({ username, password: users[username].password })),
) as [Credential, Credential, Credential];

async function fetchesOf(options: TierOptions = {}, originOptions: OriginOptions = CLOSED) {
  const stack = new AsyncDisposableStack();
  const origin = stack.use(await startOrigin(originOptions));
  await origin.addBlob(APP, blob);
  const tier = stack.use(await tierOf({ [REGISTRY]: origin }, options));
  return {
    ...tier,
    origin,
    start: (credential: Credential, place = here) =>
      tier.fetches.start(tier.client(), rightsAt(place, credential), digest),
    open: (credential: Credential, place = here, isProved = true) =>
      tier.fetches.open(tier.client(), rightsAt(place, credential), digest, { isProved }),
    /** From now on no token of before is good, and this user has no right any more. */
    revoke: (name: string) => {
      origin.access.users.delete(name);
      origin.tokens.revokeAll();
    },
    [Symbol.asyncDispose]: () => stack[Symbol.asyncDispose](),
  };
}

type Fetches = Awaited<ReturnType<typeof fetchesOf>>;

/** The blob, followed from its beginning. */
async function follow(it: Fetches): Promise<Buffer> {
  await using content = await it.fetches.find({ registry: REGISTRY }, digest)?.follow();
  return await bytesOf(content);
}

describe('a fetch whose holder’s right ends in the middle', () => {
  test('goes on with that of another who waits, from where it is', async () => {
    await using it = await fetchesOf({ silenceMs: 300 });
    it.origin.once({ stallAt: 3 * MIB }, { kind: 'blob', method: 'GET' });
    await it.open(alice);
    await it.open(bob);
    const reading = [follow(it), follow(it)];
    it.revoke('alice');
    for (const got of await Promise.all(reading)) expect(got.equals(bytes)).toBe(true);
    expect(it.received.bytes).toBe(blob.sizeBytes);
    const asked = it.origin.requests.filter(({ kind }) => kind === 'blob').map(({ status, range }) => [status, range]);
    expect(asked.at(-1)).toEqual([206, `bytes=${3 * MIB}-${blob.sizeBytes - 1}`]);
    await expect.poll(() => it.ended).toEqual([{ digest, error: undefined }]);
  });

  test('is kept when nobody else waits, and its readers are told to ask again', async () => {
    await using it = await fetchesOf({ silenceMs: 300, parkMs: 60_000 });
    it.origin.once({ stallAt: 3 * MIB }, { kind: 'blob', method: 'GET' });
    await it.open(alice);
    const reading = failureOf(follow(it));
    it.revoke('alice');
    expect((await reading).code).toBe('UNAVAILABLE');
    expect((await failureOf(follow(it))).code).toBe('BLOB_UNKNOWN'); // it was alice's; nothing is fetched for nobody
    const asked = it.origin.requests.length;
    await it.open(bob);
    expect((await follow(it)).equals(bytes)).toBe(true);
    expect([it.received.bytes, it.origin.requests.length > asked]).toEqual([blob.sizeBytes, true]);
  });

  test('is forgotten when nobody comes who has a right', async () => {
    await using it = await fetchesOf({ silenceMs: 300, parkMs: 100 });
    it.origin.once({ stallAt: 3 * MIB }, { kind: 'blob', method: 'GET' });
    await it.open(alice);
    it.revoke('alice');
    await vi.waitFor(() => expect(it.ended[0]?.error?.code).toBe('UNAVAILABLE'), 5_000);
    expect(it.fetches.count).toBe(0);
    await expect.poll(() => it.store.usage.bytes).toBe(0); // once its file is closed
  });
});

describe('a fetch that the origin refuses to who began it', () => {
  test('is begun again with the right of each one who waits, and each gets the answer to itself', async () => {
    await using it = await fetchesOf();
    it.origin.when({ kind: 'blob' }, { headersDelayMs: 100 });
    const all = await Promise.allSettled([eve, eve, alice, bob].map((credential) => it.open(credential)));
    expect(all.map(({ status }) => status)).toEqual(['rejected', 'rejected', 'fulfilled', 'fulfilled']);
    expect((await follow(it)).equals(bytes)).toBe(true);
    expect(it.origin.bodyBytes(digest)).toBe(blob.sizeBytes);
  });

  test('is not answered by the right of who waits with it', async () => {
    await using it = await fetchesOf();
    const begun = it.start(eve).opened();
    const joined = it.open(alice);
    expect((await failureOf(begun)).code).toBe('BLOB_UNKNOWN');
    expect(await joined).toMatchObject({ sizeBytes: blob.sizeBytes });
  });

  test('for another repository is not joined by who has no proof of its own', async () => {
    await using it = await fetchesOf();
    await it.open(alice);
    expect(await it.open(bob, there, false)).toBeUndefined();
    expect(await it.open(bob, here, false)).toMatchObject({ sizeBytes: blob.sizeBytes });
    expect(await it.open(bob, there, true)).toMatchObject({ sizeBytes: blob.sizeBytes });
  });
});

describe('a fetch that nobody waits for', () => {
  test('keeps its bytes and forgets its credentials: who reads on must bring a right', async () => {
    await using it = await fetchesOf({ lingerMs: 100, parkMs: 60_000 });
    it.origin.once({ bytesPerSecondPerConnection: 4 * MIB }, { kind: 'blob' });
    await it.open(alice);
    await it.origin.idle();
    expect((await failureOf(follow(it))).code).toBe('BLOB_UNKNOWN');
    await it.open(bob);
    expect((await follow(it)).equals(bytes)).toBe(true);
    expect(it.received.bytes).toBe(blob.sizeBytes);
  });
});

describe('a fetch for an anonymous caller that the origin limits', () => {
  const OPEN: OriginOptions = { auth: 'bearer', users };

  test('asks for the caller’s own credentials, and goes on with those', async () => {
    await using it = await fetchesOf({}, OPEN);
    it.origin.once({ status: 429 }, { kind: 'blob' });
    const error = await failureOf(it.open(ANONYMOUS));
    expect(error).toMatchObject({ code: 'UNAUTHORIZED', challenge: [it.origin.challenge(APP)] });
    expect(await it.open(alice)).toMatchObject({ sizeBytes: blob.sizeBytes });
  });

  test('waits when the caller has sent credentials, though they are not shown to this origin', async () => {
    await using it = await fetchesOf({}, OPEN);
    it.origin.once({ status: 429 }, { kind: 'blob' });
    expect(await it.open({ ...ANONYMOUS, mayBeAsked: false })).toMatchObject({ sizeBytes: blob.sizeBytes });
  });

  test('waits when the origin would not know what to do with credentials', async () => {
    await using it = await fetchesOf({}, {});
    it.origin.once({ status: 429 }, { kind: 'blob' });
    expect(await it.open(ANONYMOUS)).toMatchObject({ sizeBytes: blob.sizeBytes });
  });
});
