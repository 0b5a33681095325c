import { describe, expect, test } from 'vitest';
import { ask } from './origin-client.ts';
import { startOrigin, type Origin } from './origin.ts';
import { startTokenServer } from './token-server.ts';

const users = { alice: { password: 'secret', repositories: ['team/secret'] } };
const privateRepositories = ['team/secret'];

async function withImages(origin: Origin): Promise<void> {
  await origin.addImage('org/app', 'v1', { layers: [] });
  await origin.addImage('team/secret', 'v1', { layers: [] });
}

function manifest(origin: Origin, repository: string, authorization?: string) {
  const headers: Record<string, string> = authorization === undefined ? {} : { authorization };
  return ask(`${origin.url}/v2/${repository}/manifests/v1`, { headers });
}

function basic(name: string, password: string): string {
  return `Basic ${Buffer.from(`${name}:${password}`).toString('base64')}`;
}

/** Gets a token as a challenge tells. */
async function obtain(challenge: string | undefined, authorization?: string) {
  const field = (name: string): string => new RegExp(`${name}="([^"]*)"`).exec(challenge ?? '')?.[1] ?? '';
  const query = new URLSearchParams({ service: field('service'), scope: field('scope') });
  const headers: Record<string, string> = authorization === undefined ? {} : { authorization };
  const answer = await ask(`${field('realm')}?${query.toString()}`, { headers });
  const fields = JSON.parse(answer.body.toString()) as Record<string, unknown>;
  return { status: answer.status, fields, bearer: `Bearer ${String(fields['token'])}` };
}

describe('an origin with bearer tokens', () => {
  test('challenges bare requests with its realm, service and scope', async () => {
    await using origin = await startOrigin({ auth: 'bearer' });
    await withImages(origin);
    const answer = await manifest(origin, 'org/app');
    expect(answer.status).toBe(401);
    expect(answer.headers['www-authenticate']).toBe(
      `Bearer realm="${origin.url}/token",service="${origin.host}",scope="repository:org/app:pull"`,
    );
    expect((await ask(`${origin.url}/v2/`)).headers['www-authenticate']).not.toContain('scope');
  });

  test('leaves the service out on demand', async () => {
    await using origin = await startOrigin({ auth: 'bearer', service: null });
    expect(origin.challenge('org/app')).not.toContain('service');
  });

  test('gives anonymous callers tokens for public repositories, and counts that', async () => {
    await using origin = await startOrigin({ auth: 'bearer' });
    await withImages(origin);
    const { fields, bearer } = await obtain(origin.challenge('org/app'));
    expect(fields).toMatchObject({ expires_in: 300, access_token: fields['token'] });
    expect((await manifest(origin, 'org/app', bearer)).status).toBe(200);
    expect(origin.count({ kind: 'token' })).toBe(1);
  });

  test('says insufficient_scope to a good token for another repository', async () => {
    await using origin = await startOrigin({ auth: 'bearer', users, privateRepositories });
    await withImages(origin);
    const { bearer } = await obtain(origin.challenge('team/secret'));
    const answer = await manifest(origin, 'team/secret', bearer);
    expect(answer.status).toBe(401);
    expect(answer.headers['www-authenticate']).toContain('error="insufficient_scope"');
  });

  test('opens a private repository to a user of it', async () => {
    await using origin = await startOrigin({ auth: 'bearer', users, privateRepositories });
    await withImages(origin);
    const challenge = origin.challenge('team/secret');
    const { bearer } = await obtain(challenge, basic('alice', 'secret'));
    expect((await manifest(origin, 'team/secret', bearer)).status).toBe(200);
    expect((await obtain(challenge, basic('alice', 'wrong'))).status).toBe(401);
  });

  test('says invalid_token to unknown, revoked and expired tokens', async () => {
    await using origin = await startOrigin({ auth: 'bearer' });
    await withImages(origin);
    const revoked = origin.tokens.issue(['org/app']);
    origin.tokens.revokeAll();
    origin.tokens.rules.lifeSeconds = 0;
    const expired = origin.tokens.issue(['org/app']);
    for (const token of ['made-up', revoked, expired]) {
      const answer = await manifest(origin, 'org/app', `Bearer ${token}`);
      expect(answer.status).toBe(401);
      expect(answer.headers['www-authenticate']).toContain('error="invalid_token"');
    }
  });

  test.each([401, 403] as const)('may refuse anonymous callers a token with %i', async (status) => {
    await using origin = await startOrigin({ auth: 'bearer', users });
    origin.tokens.rules.refuseAnonymous = status;
    expect((await obtain(origin.challenge('org/app'))).status).toBe(status);
    expect((await obtain(origin.challenge('org/app'), basic('alice', 'secret'))).status).toBe(200);
  });

  test('may refuse a token for a private repository in place of an empty one', async () => {
    await using origin = await startOrigin({ auth: 'bearer', privateRepositories });
    origin.tokens.rules.onNoAccess = 403;
    expect((await obtain(origin.challenge('team/secret'))).status).toBe(403);
    expect((await obtain(origin.challenge('org/app'))).status).toBe(200);
  });

  test('may leave expires_in out, lie about it, and name the token either way', async () => {
    await using origin = await startOrigin({ auth: 'bearer' });
    Object.assign(origin.tokens.rules, { expiresIn: 'missing', field: 'token' });
    expect(Object.keys((await obtain(origin.challenge('org/app'))).fields)).toEqual(['token']);
    Object.assign(origin.tokens.rules, { expiresIn: 9999, field: 'access_token' });
    const { fields } = await obtain(origin.challenge('org/app'));
    expect([Object.keys(fields), fields['expires_in']]).toEqual([['access_token', 'expires_in'], 9999]);
  });

  test('gives tokens to a POST of the password, or not', async () => {
    await using origin = await startOrigin({ auth: 'bearer', users, privateRepositories });
    await withImages(origin);
    const post = () =>
      fetch(`${origin.url}/token`, {
        method: 'POST',
        body: new URLSearchParams({ username: 'alice', password: 'secret', scope: 'repository:team/secret:pull' }),
      });
    const { access_token: token } = (await (await post()).json()) as { access_token: string };
    expect((await manifest(origin, 'team/secret', `Bearer ${token}`)).status).toBe(200);
    origin.tokens.rules.post = 404;
    expect((await post()).status).toBe(404);
  });

  test('keeps moods for those who were let in', async () => {
    await using origin = await startOrigin({ auth: 'bearer' });
    await withImages(origin);
    origin.once({ status: 429 });
    expect((await manifest(origin, 'org/app')).status).toBe(401);
    const { bearer } = await obtain(origin.challenge('org/app'));
    expect((await manifest(origin, 'org/app', bearer)).status).toBe(429);
    expect((await manifest(origin, 'org/app', bearer)).status).toBe(200);
  });

  test('may have a token endpoint in a mood', async () => {
    await using origin = await startOrigin({ auth: 'bearer' });
    origin.when({ kind: 'token' }, { html: true });
    const answer = await ask(`${origin.url}/token?scope=repository:org/app:pull`);
    expect(answer.headers['content-type']).toContain('text/html');
  });
});

describe('a token server', () => {
  test('gives the tokens of an origin from a host of its own', async () => {
    await using tokenServer = await startTokenServer({ users, privateRepositories });
    await using origin = await startOrigin({ auth: 'bearer', tokenServer });
    await withImages(origin);
    const challenge = (await manifest(origin, 'team/secret')).headers['www-authenticate'];
    expect(challenge).toContain(`realm="${tokenServer.url}/token"`);
    const { bearer } = await obtain(challenge, basic('alice', 'secret'));
    expect((await manifest(origin, 'team/secret', bearer)).status).toBe(200);
    expect([tokenServer.count({ kind: 'token' }), origin.count({ kind: 'token' })]).toEqual([1, 0]);
  });

  test('has moods too', async () => {
    await using tokenServer = await startTokenServer();
    tokenServer.once({ status: 503 }, { kind: 'token' });
    expect((await ask(tokenServer.realm)).status).toBe(503);
    expect((await ask(tokenServer.realm)).status).toBe(200);
  });
});

describe('an origin with passwords', () => {
  test('challenges for private repositories and lets their users in', async () => {
    await using origin = await startOrigin({ auth: 'basic', users, privateRepositories });
    await withImages(origin);
    expect((await manifest(origin, 'org/app')).status).toBe(200);
    const bare = await manifest(origin, 'team/secret');
    expect([bare.status, bare.headers['www-authenticate']]).toEqual([401, 'Basic realm="origin"']);
    expect((await manifest(origin, 'team/secret', basic('alice', 'wrong'))).status).toBe(401);
    expect((await manifest(origin, 'team/secret', basic('alice', 'secret'))).status).toBe(200);
  });

  test('answers 403 to a user of other repositories', async () => {
    const bob = { password: 'pass', repositories: [] };
    await using origin = await startOrigin({ auth: 'basic', users: { bob }, privateRepositories });
    await withImages(origin);
    expect((await manifest(origin, 'team/secret', basic('bob', 'pass'))).status).toBe(403);
  });
});
