import { describe, expect, test } from 'vitest';
import { Authorization } from '../../../oci/authorization.ts';
import { digestOf } from '../../../oci/digest.ts';
import type { Repository } from '../../../oci/reference.ts';
import { Callers } from '../../../shared-tier/access/caller.ts';
import { MEDIA_TYPES } from '../../support/origin-content.ts';
import { type Origin, startOrigin } from '../../support/origin.ts';
import { APP, REGISTRY, clientsOf, failureOf, forever, httpServer } from '../fixtures.ts';
import { tag } from './questions.ts';

const THEIRS = 'rivals/app';
const digest = digestOf(Buffer.from('blob'));
const alice = new Callers(Buffer.alloc(32, 1)).credential(Authorization.basic({ username: 'alice', password: 'a' }));
const bob = new Callers(Buffer.alloc(32, 1)).credential(Authorization.basic({ username: 'bob', password: 'b' }));
const pusher = { credential: alice, repository: APP, maxAgeMs: Infinity, signal: forever };
const manifest = { content: Buffer.from('{}'), mediaType: MEDIA_TYPES.oci.manifest, tags: [] };

/** A registry that opens two repositories to Alice, and another server that it sends her to. */
async function redirecting(auth: 'basic' | 'bearer') {
  const stack = new AsyncDisposableStack();
  const users = { alice: { password: 'a', repositories: [APP, THEIRS] } };
  const origin = stack.use(await startOrigin({ auth, users, privateRepositories: [APP, THEIRS] }));
  const elsewhere = stack.use(await startOrigin());
  for (const name of [APP, THEIRS]) origin.addManifest(name, 'v1', { schemaVersion: 2 }, MEDIA_TYPES.oci.manifest);
  const tier = stack.use(clientsOf({ [REGISTRY]: origin }, { entry: { redirectHosts: [elsewhere.host] } }));
  return {
    origin,
    elsewhere,
    client: tier.client().pusher,
    [Symbol.asyncDispose]: () => stack[Symbol.asyncDispose](),
  };
}

function shownTo({ requests }: Origin, path: string): (string | undefined)[] {
  return requests.filter((each) => each.path.includes(path)).map(({ headers }) => headers.authorization);
}

describe.each(['basic', 'bearer'] as const)('a change that is redirected elsewhere (%s)', (auth) => {
  test('goes there bare, and stays so when it is sent back: it could not be told where to', async () => {
    await using it = await redirecting(auth);
    it.origin.once({ redirectTo: it.elsewhere.url }, { kind: 'manifest', method: 'DELETE' });
    it.elsewhere.mood = { redirectTo: { locate: () => `${it.origin.url}/v2/${THEIRS}/manifests/v1` } };

    await failureOf(it.client.delete('manifests', tag, pusher));

    expect(shownTo(it.elsewhere, APP)).toEqual([undefined]);
    expect(shownTo(it.origin, THEIRS)).toEqual([undefined]);
    expect(it.origin.tag(THEIRS, 'v1')).toBeDefined();
  });

  test('asks for no other credentials at the word of who is there', async () => {
    await using it = await redirecting(auth);
    const challenge = it.origin.challenge(THEIRS);
    it.origin.once({ redirectTo: it.elsewhere.url }, { kind: 'manifest', method: 'DELETE' });
    it.elsewhere.mood = { status: 401, headers: { 'www-authenticate': challenge } };

    const error = await failureOf(it.client.delete('manifests', tag, pusher));

    expect([error.code, error.status, error.challenge]).toEqual(['PUSH_REFUSED', 403, undefined]);
    const scopes = it.origin.requests.flatMap(({ kind, query }) => (kind === 'token' ? query.getAll('scope') : []));
    expect(scopes.filter((scope) => scope.includes(THEIRS))).toEqual([]);
  });
});

test('who is refused is told of no repository that others have named meanwhile to mount from', async () => {
  const held = Promise.withResolvers<undefined>();
  const asked = Promise.withResolvers<undefined>();
  await using server = await httpServer((request, response) => {
    const { searchParams, pathname } = new URL(request.url ?? '', 'http://x');
    const answer = (): void => void response.end('{"token":"t"}');
    if (pathname !== '/token') {
      const scope = `repository:${APP}:push${searchParams.has('from') ? ` repository:${THEIRS}:pull` : ''}`;
      const realm = `${server.url}/token`;
      response.writeHead(401, { 'www-authenticate': `Bearer realm="${realm}",scope="${scope}"` }).end();
    } else if (searchParams.getAll('scope').length > 1) answer();
    else {
      asked.resolve(undefined);
      void held.promise.then(answer);
    }
  });
  await using tier = clientsOf({ [REGISTRY]: server });
  const client = tier.client().pusher;
  const mount = { digest, from: THEIRS as Repository };
  const refused = failureOf(client.start({ mount: undefined, algorithm: undefined }, { ...pusher, credential: bob }));
  await asked.promise;
  await failureOf(client.start({ mount, algorithm: undefined }, pusher));
  held.resolve(undefined);

  expect((await refused).challenge?.join()).toContain(`scope="repository:${APP}:push"`);
});

describe('an origin has taken what is pushed when it says 201, and not', () => {
  test.each([
    ['when a page comes instead', { html: true }],
    ['when it has only accepted it', { status: 202 }],
  ])('%s', async (_what, mood) => {
    await using origin = await startOrigin();
    await using tier = clientsOf({ [REGISTRY]: origin });
    const client = tier.client().pusher;
    const upload = await client.start({ mount: undefined, algorithm: undefined }, pusher);
    const url = upload?.location ?? new URL(origin.url);
    const body = (async function* () {
      yield Buffer.from('blob');
    })();
    const part = { body, lengthBytes: 4, start: undefined, isRepeated: false, mayGiveWay: true };
    origin.mood = mood;

    const errors = [
      await failureOf(client.finish(url, digest, pusher)),
      await failureOf(client.finishWith(url, digest, part, pusher)),
      await failureOf(client.putManifest(tag, manifest, pusher)),
    ];

    expect(errors.map(({ code }) => code)).toEqual(['UNAVAILABLE', 'UNAVAILABLE', 'UNAVAILABLE']);
  });

  test('by another word unless it tells the digest of what it has made', async () => {
    await using origin = await startOrigin();
    await using tier = clientsOf({ [REGISTRY]: origin });
    origin.mood = { status: 202, headers: { 'docker-content-digest': digest } };
    expect(await tier.client().pusher.putManifest(tag, manifest, pusher)).toMatchObject({ digest });
  });
});

test('an address that does not say where it is belongs to who has told it, also after a redirect', async () => {
  await using server = await httpServer((request, response) => {
    if (request.url?.startsWith('/v2/moved/')) response.writeHead(202, { location: 'uploads/1?state=s' }).end();
    else response.writeHead(307, { location: `/v2/moved/${APP}/blobs/` }).end();
  });
  await using tier = clientsOf({ [REGISTRY]: server });
  const upload = await tier.client().pusher.start({ mount: undefined, algorithm: undefined }, pusher);
  expect(upload?.location.href).toBe(`${server.url}/v2/moved/${APP}/blobs/uploads/1?state=s`);
});
