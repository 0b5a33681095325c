import { describe, expect, test } from 'vitest';
import { Authorization } from '../../../oci/authorization.ts';
import { digestOf } from '../../../oci/digest.ts';
import { Callers } from '../../../shared-tier/access/caller.ts';
import { ANONYMOUS, type Credential } from '../../../shared-tier/origin/credential.ts';
import { takeClock } from '../../support/house-clock.ts';
import { type OriginOptions, startOrigin } from '../../support/origin.ts';
import { APP, REGISTRY, type TierOptions, failureOf, placeOf, refOf, tierOf } from '../fixtures.ts';

const NONE = new Uint8Array();
const tag = refOf('v1');
const here = placeOf(APP);
const there = placeOf('org/other');
const users = {
  alice: { password: 'a', repositories: [APP] },
  bob: { password: 'b', repositories: [] },
};
const CLOSED: OriginOptions = { auth: 'bearer', privateRepositories: [APP], users };
const callers = new Callers(Buffer.alloc(32, 1));
const alice = named('alice', 'a');
const bob = named('bob', 'b');

function named(username: string, password: string): Credential {
  return callers.credential(Authorization.basic({ username, password }));
}

async function proofsOf(options: TierOptions = {}, originOptions: OriginOptions = {}) {
  const stack = new AsyncDisposableStack();
  const origin = stack.use(await startOrigin(originOptions));
  const { manifest, layers } = await origin.addImage(APP, 'v1', { layers: [Buffer.from('layer')] });
  const tier = stack.use(await tierOf({ [REGISTRY]: origin }, options));
  const { proofs, grants } = tier;
  const layer = layers[0]?.digest ?? digestOf(Buffer.from('none'));
  const subject = (credential: Credential) => ({
    client: tier.client(),
    credential,
    place: here,
    isReplaceable: false,
  });
  return {
    ...tier,
    origin,
    manifest,
    layer,
    bearer: (repository: string = APP) => callers.credential(Authorization.bearer(origin.tokens.issue([repository]))),
    head: (credential = ANONYMOUS, accept: string[] = []) => proofs.manifest(subject(credential), tag, accept),
    blob: (credential = ANONYMOUS, digest = layer) =>
      proofs.blob(subject(credential), digest, { as: 'question', sizeIfUntold: undefined }),
    end: (credential = ANONYMOUS, place = here) => grants.repositoryEnd({ caller: credential.key, place }, NONE),
    manifestEnd: (credential = ANONYMOUS) =>
      grants.manifestEnd({ caller: credential.key, place: here }, NONE, manifest.digest),
    blobEnd: (credential = ANONYMOUS) => grants.blobEnd({ caller: credential.key, place: here }, layer),
    [Symbol.asyncDispose]: () => stack[Symbol.asyncDispose](),
  };
}

describe('a proof', () => {
  test('of equal questions of equal callers at once is one HEAD', async () => {
    await using it = await proofsOf();
    await Promise.all(Array.from({ length: 32 }, () => it.head()));
    await Promise.all(Array.from({ length: 32 }, () => it.blob()));
    expect(it.origin.requests.map(({ method, kind }) => [method, kind])).toEqual([
      ['HEAD', 'manifest'],
      ['HEAD', 'blob'],
    ]);
  });

  test('of equal questions of different callers at once is a HEAD each, with each one’s own credentials', async () => {
    await using it = await proofsOf({}, CLOSED);
    const tokens = [it.bearer(), it.bearer(), it.bearer('org/other')];
    const all = await Promise.allSettled([...tokens, ...tokens].map((credential) => it.head(credential)));
    expect(all.map(({ status }) => status)).toEqual([
      'fulfilled',
      'fulfilled',
      'rejected',
      'fulfilled',
      'fulfilled',
      'rejected',
    ]);
    const sent = it.origin.requests.map(({ headers }) => headers.authorization);
    expect(sent).toHaveLength(3);
    expect(new Set(sent)).toEqual(new Set(tokens.map(({ authorization }) => authorization?.header)));
  });

  test('of questions that accept other types is another HEAD', async () => {
    await using it = await proofsOf();
    await Promise.all([['a/b'], ['c/d']].map((accept) => it.head(ANONYMOUS, accept)));
    expect(it.origin.requests).toHaveLength(2);
  });

  test('is of this caller, in this repository', async () => {
    await using it = await proofsOf({}, CLOSED);
    await it.head(alice);
    expect([it.end(alice) > 0, it.manifestEnd(alice) > 0]).toEqual([true, true]);
    expect([it.end(bob), it.end(ANONYMOUS), it.end(alice, there), it.manifestEnd(bob)]).toEqual([0, 0, 0, 0]);
    expect(it.blobEnd(alice)).toBe(0);
  });

  test('of a blob grants nothing else of the repository', async () => {
    await using it = await proofsOf();
    await it.blob();
    expect([it.blobEnd() > 0, it.end()]).toEqual([true, 0]);
  });

  test('is not remembered with a TTL of 0, and neither is a refusal or a token', async () => {
    await using it = await proofsOf({ ttlMs: 0 }, CLOSED);
    for (let round = 1; round <= 2; round += 1) {
      await it.head(alice);
      await failureOf(it.head());
      await failureOf(it.head(bob));
    }
    expect([it.end(alice), it.manifestEnd(alice)]).toEqual([0, 0]);
    expect(it.origin.count({ kind: 'token' })).toBe(6);
    expect(it.proved).toEqual(['yes', 'no', 'no', 'yes', 'no', 'no']);
  });

  test('is counted as what it came to', async () => {
    await using it = await proofsOf({ patienceMs: 0 });
    await it.head();
    it.origin.once({ status: 404 });
    await failureOf(it.head());
    it.origin.once({ status: 429 });
    await failureOf(it.head());
    expect(it.proved).toEqual(['yes', 'no', 'unknown']);
  });
});

describe('the end of a proof', () => {
  test('is the TTL after it, for every kind of caller', async () => {
    await using it = await proofsOf({}, CLOSED);
    for (const credential of [alice, it.bearer()]) {
      const before = Date.now();
      await it.head(credential);
      expect(it.end(credential)).toBeGreaterThan(before + 59_000);
      expect(it.end(credential)).toBeLessThanOrEqual(Date.now() + 60_000);
    }
  });

  test('is the end of a token that is over sooner', async () => {
    await using it = await proofsOf({}, CLOSED);
    it.origin.tokens.rules.lifeSeconds = 20;
    const credential = it.bearer();
    await it.head(credential);
    expect(it.end(credential)).toBe(credential.authorization?.expiresAtMs);
    expect(it.end(credential)).toBeLessThan(Date.now() + 20_000);
  });

  test('is counted from when the password was seen to be right, not from when its token was used', async () => {
    using clock = takeClock();
    await using it = await proofsOf({}, CLOSED);
    await it.head(alice);
    const first = it.end(alice);
    await clock.forward(50_000);
    it.origin.access.users.delete('alice'); // the token that she got is good for another four minutes
    await it.head(alice, ['a/b']);
    expect(it.end(alice)).toBeLessThan(first + 100);
    await clock.forward(10_001);
    expect(it.end(alice)).toBe(0);
    expect(await failureOf(it.head(alice))).toMatchObject({ code: 'MANIFEST_UNKNOWN', denied: true });
  });

  test('of an anonymous caller is not put off by a token that was got while the repository was open', async () => {
    using clock = takeClock();
    await using it = await proofsOf({}, { auth: 'bearer' });
    await it.head();
    await clock.forward(30_000);
    it.origin.access.privateRepositories.add(APP);
    await it.head(ANONYMOUS, ['a/b']);
    await clock.forward(30_001);
    expect(it.end()).toBe(0);
    expect((await failureOf(it.head())).code).toBe('UNAUTHORIZED');
  });
});

describe('a refusal', () => {
  test('of a caller is remembered for 2 seconds, for that caller and object', async () => {
    using clock = takeClock();
    await using it = await proofsOf({}, CLOSED);
    const first = await failureOf(it.head(bob));
    const asked = it.origin.requests.length;
    const second = await failureOf(it.head(bob));
    expect([it.origin.requests.length, second.code, second.body]).toEqual([asked, first.code, first.body]);
    await it.head(alice);
    await failureOf(it.blob(bob));
    expect(it.origin.requests.length).toBeGreaterThan(asked);
    await clock.forward(2_001);
    const before = it.origin.requests.length;
    await failureOf(it.head(bob));
    expect(it.origin.requests.length).toBeGreaterThan(before);
  });

  test('of anonymous callers is remembered with its challenge as long as a yes, for the whole repository', async () => {
    using clock = takeClock();
    await using it = await proofsOf({}, CLOSED);
    const { challenge } = await failureOf(it.head());
    expect(challenge).toEqual([it.origin.challenge(APP)]);
    const asked = it.origin.requests.length;
    await clock.forward(59_000);
    expect((await failureOf(it.head(ANONYMOUS, ['a/b']))).challenge).toEqual(challenge);
    expect((await failureOf(it.blob())).challenge).toEqual(challenge);
    expect(it.origin.requests).toHaveLength(asked);
    await clock.forward(1_001);
    await failureOf(it.head());
    expect(it.origin.requests.length).toBeGreaterThan(asked);
  });

  test('of one object does not close a repository that anonymous callers may read', async () => {
    await using it = await proofsOf({}, { auth: 'bearer' });
    await it.head();
    const headers = { 'www-authenticate': it.origin.challenge(APP) };
    it.origin.when({ kind: 'blob' }, { status: 401, headers });
    expect((await failureOf(it.blob())).code).toBe('UNAUTHORIZED');
    expect(await it.head(ANONYMOUS, ['a/b'])).toMatchObject({ digest: it.manifest.digest });
  });

  test('is not made of what is absent: that is asked for again', async () => {
    await using it = await proofsOf();
    it.origin.once({ status: 404 });
    await failureOf(it.head());
    expect(await it.head()).toMatchObject({ digest: it.manifest.digest });
  });

  test.each([429, 500, 503])('is not made of %i, which is neither yes nor no', async (status) => {
    await using it = await proofsOf({ patienceMs: 0 });
    it.origin.mood = { status };
    expect((await failureOf(it.head())).code).toBe('UNAVAILABLE');
    it.origin.calm();
    expect(await it.head()).toMatchObject({ digest: it.manifest.digest });
  });

  test.each([301, 302, 303, 304, 307, 308])('is not made of a bare %i either', async (status) => {
    await using it = await proofsOf();
    it.origin.mood = { status };
    expect((await failureOf(it.head())).code).toBe('UNAVAILABLE');
    expect((await failureOf(it.blob())).code).toBe('UNAVAILABLE');
    expect([it.end(), it.blobEnd()]).toEqual([0, 0]);
  });
});
