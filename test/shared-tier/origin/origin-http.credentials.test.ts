import type { IncomingMessage, ServerResponse } from 'node:http';
import { text } from 'node:stream/consumers';
import { describe, expect, test } from 'vitest';
import { Authorization } from '../../../oci/authorization.ts';
import { Callers } from '../../../shared-tier/access/caller.ts';
import type { Credential } from '../../../shared-tier/origin/credential.ts';
import { MEDIA_TYPES } from '../../support/origin-content.ts';
import { startOrigin } from '../../support/origin.ts';
import { startTokenServer } from '../../support/token-server.ts';
import { APP, REGISTRY, clientsOf, failureOf, httpServer } from '../fixtures.ts';
import { ask, image, tag } from './questions.ts';

const callers = new Callers(Buffer.alloc(32, 1));
const users = {
  alice: { password: 'a:b', repositories: [APP], identityToken: 'of alice' },
  bob: { password: 'b', repositories: [] },
};
const CLOSED = { auth: 'bearer', privateRepositories: [APP], users } as const;
const alice = named('alice', 'a:b');
const bob = named('bob', 'b');

function named(username: string, password: string): Credential {
  return callers.credential(Authorization.basic({ username, password }));
}

function bearer(token: string): Credential {
  return callers.credential(Authorization.bearer(token));
}

function jwt(exp: number): string {
  return ['{"alg":"none"}', JSON.stringify({ exp })]
    .map((part) => Buffer.from(part).toString('base64url'))
    .join('.')
    .concat('.');
}

async function closed() {
  const stack = new AsyncDisposableStack();
  const origin = stack.use(await startOrigin(CLOSED));
  const layer = await image(origin);
  const tier = stack.use(clientsOf({ [REGISTRY]: origin }));
  return {
    origin,
    layer,
    head: (credential: Credential, maxAgeMs = Infinity) =>
      tier.registry().headManifest(APP, tag, { ...ask, credential, maxAgeMs }),
    blob: (credential: Credential) => tier.registry().headBlob(APP, layer, { ...ask, credential }),
    [Symbol.asyncDispose]: () => stack[Symbol.asyncDispose](),
  };
}

describe('a password', () => {
  test('is exchanged for a token, which is used again, and is not shown to the registry', async () => {
    await using it = await closed();
    await it.head(alice);
    await it.head(alice);
    expect(it.origin.requests.map(({ kind, method, status }) => `${kind} ${method} ${status}`)).toEqual([
      'manifest HEAD 401',
      'token GET 200',
      'manifest HEAD 200',
      'manifest HEAD 200',
    ]);
    const shown = it.origin.requests.filter(({ headers }) => headers.authorization?.startsWith('Basic') === true);
    expect(shown.map(({ kind, query }) => [kind, query.get('scope')])).toEqual([['token', `repository:${APP}:pull`]]);
  });

  test('that is wrong, or opens something else, is a no', async () => {
    await using it = await closed();
    for (const credential of [bob, named('alice', 'guessed'), named('nobody', '')]) {
      expect(await failureOf(it.head(credential))).toMatchObject({ code: 'MANIFEST_UNKNOWN', denied: true });
      expect((await failureOf(it.head(credential))).challenge).toBeUndefined();
    }
  });

  test('whose token is not taken any more is exchanged once more', async () => {
    await using it = await closed();
    await it.head(alice);
    it.origin.tokens.revokeAll();
    await it.head(alice);
    expect(it.origin.count({ kind: 'token' })).toBe(2);
    it.origin.access.users.delete('alice');
    it.origin.tokens.revokeAll();
    expect((await failureOf(it.head(alice))).denied).toBe(true);
    expect(it.origin.count({ kind: 'token' })).toBe(3);
  });

  test('is exchanged anew for who wants to know whether it is still right', async () => {
    await using it = await closed();
    await it.head(alice);
    it.origin.access.users.delete('alice');
    await it.head(alice);
    expect((await failureOf(it.head(alice, 0))).denied).toBe(true);
  });

  test('is shown to a registry that asks for it, and to none before', async () => {
    await using origin = await startOrigin({ ...CLOSED, auth: 'basic' });
    await image(origin);
    await using tier = clientsOf({ [REGISTRY]: origin });
    for (let time = 1; time <= 2; time += 1) {
      await tier.registry().headManifest(APP, tag, { ...ask, credential: alice });
    }
    const { header } = alice.authorization ?? {};
    expect(origin.requests.map(({ headers }) => headers.authorization)).toEqual([undefined, header, header]);
    const failure = await failureOf(tier.registry().headManifest(APP, tag, { ...ask, credential: bob }));
    expect(failure).toMatchObject({ code: 'MANIFEST_UNKNOWN', denied: true });
  });

  test('is not needed where everybody may read, and then shown to nobody', async () => {
    await using origin = await startOrigin();
    await image(origin);
    await using tier = clientsOf({ [REGISTRY]: origin });
    await tier.registry().headManifest(APP, tag, { ...ask, credential: alice });
    expect(origin.requests.map(({ headers }) => headers.authorization)).toEqual([undefined]);
  });

  test('is not sent to a realm of somebody else’s', async () => {
    await using evil = await httpServer((_request, response) => response.end('{"token":"abc"}'));
    await using server = await httpServer((_request, response) => {
      response.writeHead(401, { 'www-authenticate': `Bearer realm="${evil.url}/token"` }).end();
    });
    await using tier = clientsOf({ [REGISTRY]: server });
    const failure = await failureOf(tier.registry().headManifest(APP, tag, { ...ask, credential: alice }));
    expect([failure.code, failure.denied, evil.requests]).toEqual(['MANIFEST_UNKNOWN', true, []]);
  });

  test('is sent to a token service on a host that the operator has named', async () => {
    await using tokenServer = await startTokenServer(CLOSED, { address: '127.0.0.2' });
    await using origin = await startOrigin({ auth: 'bearer', tokenServer });
    await image(origin);
    const entry = { tokenHosts: [tokenServer.host] };
    await using tier = clientsOf({ [REGISTRY]: origin }, { entry });
    expect(await tier.registry().headManifest(APP, tag, { ...ask, credential: alice })).toBeDefined();
    expect(tokenServer.requests).toHaveLength(1);
  });
});

/** A registry whose token service answers as told. */
async function tokensBy(answer: (request: IncomingMessage, response: ServerResponse, body: string) => void) {
  const asked: { method: string; url: string; body: string; authorization: string | undefined }[] = [];
  const server = await httpServer((request, response) => {
    if (request.url?.startsWith('/token') !== true) {
      const isGood = request.headers.authorization === 'Bearer good';
      const headers = { 'content-type': MEDIA_TYPES.oci.manifest };
      if (isGood) response.writeHead(200, headers).end();
      else response.writeHead(401, { 'www-authenticate': `Bearer realm="${server.url}/token",service="s"` }).end();
      return;
    }
    void text(request).then((body) => {
      const { authorization } = request.headers;
      asked.push({ method: request.method ?? '', url: request.url ?? '', body, authorization });
      answer(request, response, body);
    });
  });
  const tier = clientsOf({ [REGISTRY]: server });
  return {
    asked,
    head: (credential: Credential) => tier.registry().headManifest(APP, tag, { ...ask, credential }),
    [Symbol.asyncDispose]: async () => {
      await tier[Symbol.asyncDispose]();
      await server[Symbol.asyncDispose]();
    },
  };
}

describe('a token service', () => {
  test.each([400, 404, 405])('that answers GET with %i is asked by POST', async (status) => {
    await using it = await tokensBy((request, response) => {
      if (request.method === 'POST') response.end('{"access_token":"good"}');
      else response.writeHead(status).end();
    });
    await it.head(alice);
    expect(it.asked.map(({ method }) => method)).toEqual(['GET', 'POST']);
    expect(Object.fromEntries(new URLSearchParams(it.asked[1]?.body))).toEqual({
      grant_type: 'password',
      username: 'alice',
      password: 'a:b',
      service: 's',
      scope: `repository:${APP}:pull`,
      client_id: 'circ',
    });
    expect(it.asked.some(({ url }) => url.includes('a:b') || url.includes('a%3Ab'))).toBe(false);
  });

  test.each(['<token>', ''])('gets an identity token, which comes under the name "%s", by POST only', async (name) => {
    await using it = await tokensBy((request, response) => {
      if (request.method === 'POST') response.end('{"access_token":"good"}');
      else response.writeHead(401).end();
    });
    await it.head(named(name, 'identity'));
    expect(it.asked.map(({ method, authorization }) => [method, authorization])).toEqual([['POST', undefined]]);
    expect(Object.fromEntries(new URLSearchParams(it.asked[0]?.body))).toMatchObject({
      grant_type: 'refresh_token',
      refresh_token: 'identity',
    });
  });

  test.each([401, 403])('that answers %i is not asked in another way', async (status) => {
    await using it = await tokensBy((_request, response) => response.writeHead(status).end());
    expect((await failureOf(it.head(alice))).denied).toBe(true);
    expect(it.asked).toHaveLength(1);
  });
});

describe('a caller’s token', () => {
  test('is passed on as it is, and nothing is exchanged for it', async () => {
    await using it = await closed();
    const token = it.origin.tokens.issue([APP]);
    await it.head(bearer(token));
    expect(it.origin.requests.map(({ headers }) => headers.authorization)).toEqual([`Bearer ${token}`]);
  });

  test('for something else is a no, without a challenge', async () => {
    await using it = await closed();
    const failure = await failureOf(it.head(bearer(it.origin.tokens.issue(['org/other']))));
    expect([failure.code, failure.denied, failure.challenge]).toEqual(['MANIFEST_UNKNOWN', true, undefined]);
    expect(it.origin.requests).toHaveLength(1);
  });

  test('that the origin says is invalid is told so, byte for byte', async () => {
    await using it = await closed();
    for (const asking of [it.head(bearer('gone')), it.blob(bearer('gone'))]) {
      const failure = await failureOf(asking);
      expect([failure.code, failure.challenge]).toEqual(['UNAUTHORIZED', [it.origin.challenge(APP, 'invalid_token')]]);
    }
  });

  test.each([
    ['is over', -1, ['Bearer realm="URL/token",service="s",error="invalid_token"']],
    ['is not over', 60, undefined],
  ])('that is refused without a reason and %s is told so, or not', async (_name, lifeS, challenge) => {
    await using it = await tokensBy(() => undefined);
    const failure = await failureOf(it.head(bearer(jwt(Date.now() / 1000 + lifeS))));
    expect(failure.challenge?.map((line) => line.replace(/http:[/][/][^/]+/, 'URL'))).toEqual(challenge);
  });
});

describe('a redirect', () => {
  test('to another host leaves the credentials behind, for good', async () => {
    const seen: [string, string | undefined][] = [];
    await using other = await httpServer((request, response) => {
      seen.push(['other', request.headers.authorization]);
      response.writeHead(307, { location: `${server.url}/v2/back` }).end();
    });
    await using server = await httpServer((request, response) => {
      seen.push([request.url ?? '', request.headers.authorization]);
      if (request.url === '/v2/back') response.writeHead(200, { 'content-type': MEDIA_TYPES.oci.manifest }).end();
      else response.writeHead(307, { location: `${other.url}/x` }).end();
    });
    await using tier = clientsOf({ [REGISTRY]: server }, { entry: { redirectHosts: [other.host] } });
    await tier.registry().headManifest(APP, tag, { ...ask, credential: bearer('mine') });
    expect(seen).toEqual([
      [`/v2/${APP}/manifests/v1`, 'Bearer mine'],
      ['other', undefined],
      ['/v2/back', undefined],
    ]);
  });

  test('to a host that refuses is a no, and its challenge is nobody’s', async () => {
    await using other = await httpServer((request, response) => {
      const realm = request.url?.includes('token') === true ? '' : `Bearer realm="${server.url}/token"`;
      response.writeHead(401, { 'www-authenticate': realm }).end();
    });
    await using server = await httpServer((_request, response) => {
      response.writeHead(307, { location: `${other.url}/x` }).end();
    });
    await using tier = clientsOf({ [REGISTRY]: server }, { entry: { redirectHosts: [other.host] } });
    const failure = await failureOf(tier.registry().headManifest(APP, tag, ask));
    expect([failure.code, failure.denied, failure.challenge]).toEqual(['MANIFEST_UNKNOWN', true, undefined]);
    expect(server.requests.some(({ url }) => url.startsWith('/token'))).toBe(false);
  });
});
