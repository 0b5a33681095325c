import { describe, expect, test } from 'vitest';
import { basic, parametersOf } from '../containerd-auth.ts';
import { ask } from '../origin-client.ts';
import { artifactRegistry } from './artifact-registry.ts';
import { azure } from './azure.ts';
import { startDockerHub } from './docker-hub.ts';
import { ecr } from './ecr.ts';
import { ecrPublic } from './ecr-public.ts';
import { PRIVATE, PUBLIC, follow, knock, stocked } from './fixtures.ts';
import { kubernetes } from './kubernetes.ts';
import { startBlockPage, startBlockRedirect, startLoginRedirect } from './no-registry.ts';
import { nvcr } from './nvcr.ts';

describe('Docker Hub', () => {
  test('counts GETs of manifests, tells what is left, and says 429 when nothing is', async () => {
    await using registry = await startDockerHub();
    await registry.addImage(PUBLIC, 'v1', { layers: [] });
    registry.limit.rules.anonymous = 1;
    const it = { registry, secret: undefined, layer: '', [Symbol.asyncDispose]: async () => undefined };

    const head = await knock(it, PUBLIC);
    expect(head.answer.headers).toMatchObject({ 'ratelimit-limit': '1;w=21600', 'ratelimit-remaining': '1;w=21600' });
    const get = await knock(it, PUBLIC, { method: 'GET' });
    expect(get.answer).toMatchObject({ status: 200, headers: { 'ratelimit-remaining': '0;w=21600' } });
    const over = await knock(it, PUBLIC, { method: 'GET' });
    expect(over.answer).toMatchObject({ status: 429, headers: { 'retry-after': '60' } });
    expect((await knock(it, PUBLIC)).answer.status).toBe(200);
    expect(registry.limit.counted()).toBe(1);
  });

  test('counts who has a name apart', async () => {
    const users = { alice: { password: 'open sesame', repositories: [] } };
    await using registry = await startDockerHub({ users });
    await registry.addImage(PUBLIC, 'v1', { layers: [] });
    registry.limit.rules.anonymous = 0;
    const secret = { user: 'alice', password: 'open sesame' };
    const it = { registry, secret, layer: '', [Symbol.asyncDispose]: async () => undefined };

    expect((await knock(it, PUBLIC, { method: 'GET' })).answer.status).toBe(429);
    expect((await knock(it, PUBLIC, { method: 'GET', secret })).answer.status).toBe(200);
    expect([registry.limit.counted(), registry.limit.counted('alice')]).toEqual([0, 1]);
  });

  test('has its tokens at another host than its content, and that at a third one', async () => {
    await using registry = await startDockerHub();
    const { tokenServer, store } = registry.hosts;
    const hosts = [registry.url, tokenServer?.url, store?.url].map((url) => new URL(url ?? '').hostname);
    expect(new Set(hosts).size).toBe(3);
    expect(parametersOf(registry.origin.challenge())['realm']).toBe(tokenServer?.realm);
  });
});

describe('the private registry of AWS', () => {
  test('tells a digest to HEAD only', async () => {
    await using it = await stocked(ecr);
    const secret = it.secret;
    const digests = [];
    for (const method of ['HEAD', 'GET']) {
      const { answer } = await knock(it, PRIVATE, { secret, method });
      digests.push([answer.status, answer.headers['docker-content-digest']?.slice(0, 7)]);
    }
    expect(digests).toEqual([
      [200, 'sha256:'],
      [200, undefined],
    ]);
  });

  test('has its blobs at a store that answers 400 to who shows it the secret', async () => {
    await using it = await stocked(ecr);
    const { secret, layer } = it;
    const { answer, authorization = '' } = await knock(it, PRIVATE, { secret, method: 'GET', path: `blobs/${layer}` });
    expect(answer.status).toBe(307);
    expect((await follow(answer, 'GET', { authorization })).status).toBe(400);
    expect((await follow(answer)).body.toString()).toBe('the layer');
  });

  test('says 403 without a challenge to an old password', async () => {
    await using it = await stocked(ecr);
    const { answer } = await knock(it, PRIVATE, { secret: { user: 'AWS', password: 'yesterday' } });
    expect([answer.status, answer.headers['www-authenticate']]).toEqual([403, undefined]);
  });
});

describe('the public registry of AWS', () => {
  test('says 400 without a challenge to a token past its end', async () => {
    await using it = await stocked(ecrPublic);
    const { authorization = '' } = await knock(it, PUBLIC);
    it.registry.origin.tokens.revokeAll();
    const url = `${it.registry.url}/v2/${PUBLIC}/manifests/v1`;
    const answer = await ask(url, { method: 'HEAD', headers: { authorization } });
    expect([answer.status, answer.headers['www-authenticate']]).toEqual([400, undefined]);
  });

  test('takes a token of its scope for every repository, and none of another scope', async () => {
    await using it = await stocked(ecrPublic);
    const statuses = [];
    for (const scope of ['aws', 'other']) {
      const answer = await fetch(`${it.registry.origin.realm}?scope=${scope}`);
      const { token } = (await answer.json()) as { token: string };
      const headers = { authorization: `Bearer ${token}` };
      statuses.push((await ask(`${it.registry.url}/v2/other/secret/manifests/v1`, { headers })).status);
    }
    expect(statuses).toEqual([200, 401]);
  });
});

describe('the registry of Google', () => {
  test('refuses the whole request for one scope that it does not know', async () => {
    await using it = await stocked(artifactRegistry);
    const known = `scope=repository:${PUBLIC}:pull`;
    const { realm } = it.registry.origin;
    expect((await fetch(`${realm}?${known}`)).status).toBe(200);
    for (const more of ['repository:mirror/library/app:pull', 'aws']) {
      const refused = await fetch(`${realm}?${known}&scope=${more}`);
      expect([refused.status, await refused.text()]).toEqual([403, expect.stringContaining('(or it may not exist)')]);
    }
  });
});

describe('a registry of Azure', () => {
  test('takes an identity token by POST as a refresh token, and by GET as the password of zeros', async () => {
    await using it = await stocked(azure);
    const password = 'an identity token';
    const byPost = await knock(it, PRIVATE, { secret: { user: '', password } });
    expect([byPost.tokens, byPost.answer.status]).toEqual([['POST 200'], 200]);
    const zeros = basic({ user: '00000000-0000-0000-0000-000000000000', password });
    const byGet = await fetch(`${it.registry.origin.realm}?scope=repository:${PRIVATE}:pull`, {
      headers: { authorization: zeros },
    });
    expect(byGet.status).toBe(200);
    const wrong = await knock(it, PRIVATE, { secret: { user: '', password: 'made up' } });
    expect(wrong.tokens).toEqual(['POST 401', 'GET 401']);
  });
});

describe('the registry of NVIDIA', () => {
  test('gives tokens for ten minutes to who names no service', async () => {
    await using it = await stocked(nvcr);
    const answer = await fetch(`${it.registry.origin.realm}?scope=repository:${PUBLIC}:pull`);
    expect(await answer.json()).toMatchObject({ expires_in: 600 });
  });
});

describe('the registry of Kubernetes', () => {
  test('answers its root itself, and sends everything else to another host under another path', async () => {
    await using it = await stocked(kubernetes);
    expect((await ask(`${it.registry.url}/v2/`)).status).toBe(200);
    const { answer } = await knock(it, PUBLIC);
    const { hosts } = it.registry;
    expect(answer.headers.location).toBe(
      `${hosts.backend?.origin.url}/v2/k8s-artifacts-prod/images/${PUBLIC}/manifests/v1`,
    );
    expect(await follow(answer, 'HEAD')).toMatchObject({ status: 200 });
  });
});

describe('what is no registry', () => {
  test.each([
    ['a block page', startBlockPage, [200]],
    ['a redirect to a block page', startBlockRedirect, [302, 200]],
    ['a redirect to a login page', startLoginRedirect, [302, 200]],
  ] as const)('%s answers everything with HTML', async (_name, start, statuses) => {
    await using it = await start();
    for (const path of ['/v2/', `/v2/${PUBLIC}/manifests/v1`, '/token']) {
      const first = await ask(it.url + path);
      const answers = [first];
      if (first.headers.location !== undefined) {
        answers.push(await ask(new URL(first.headers.location, it.url).href));
      }
      expect(answers.map(({ status }) => status)).toEqual(statuses);
      expect(answers.at(-1)?.headers['content-type']).toContain('text/html');
      expect(answers.at(-1)?.headers['docker-content-digest']).toBeUndefined();
    }
  });
});
