import { once } from 'node:events';
import { createServer } from 'node:https';
import { type AddressInfo, connect } from 'node:net';
import { text } from 'node:stream/consumers';
import { getCACertificates, setDefaultCACertificates } from 'node:tls';
import { describe, expect, test } from 'vitest';
import { TestCa } from '../support/certificates.ts';
import { startConnectProxy } from '../support/connect-proxy.ts';
import { basic } from '../support/containerd-auth.ts';
import { REGISTRY, startHouse } from '../support/house.ts';
import { ask } from '../support/origin-client.ts';
import { startBlobStore } from '../support/origin-blob-store.ts';
import type { TestServer } from '../support/origin-server.ts';
import { type Origin, startOrigin } from '../support/origin.ts';
import { startTokenServer } from '../support/token-server.ts';
import { startTrap } from '../support/trap.ts';

const SECRET = { user: 'alice', password: 'alice-password' };
const REPOSITORY = 'team/app';
const ACCESS = {
  users: { alice: { password: SECRET.password, repositories: [REPOSITORY] } },
  privateRepositories: [REPOSITORY],
};
const BASIC = { authorization: basic(SECRET) };
const ABSENT = `sha256:${'0'.repeat(64)}`;

/** This process trusts the authority as it trusts those of the internet. */
function trustCa(ca: TestCa): Disposable & { readonly ca: TestCa } {
  const before = getCACertificates('default');
  setDefaultCACertificates([...before, ca.pem]);
  return { ca, [Symbol.dispose]: () => setDefaultCACertificates(before) };
}

/** Everything that a server was shown as a credential, or that a client never meant for it. */
function shown({ requests }: TestServer): (string | string[] | undefined)[] {
  const names = [
    'authorization',
    'cookie',
    'proxy-authorization',
    'x-forwarded-for',
    'forwarded',
    'via',
    'x-registry-auth',
  ];
  return requests.flatMap(({ headers }) => names.map((name) => headers[name]).filter((value) => value !== undefined));
}

async function stocked(origin: Origin): Promise<{ manifest: string; blob: string }> {
  const { layers } = await origin.addImage(REPOSITORY, 'v1', { layers: [Buffer.from('layer')] });
  return { manifest: `${REPOSITORY}/manifests/v1`, blob: `${REPOSITORY}/blobs/${layers[0]?.digest}` };
}

describe('a secret', () => {
  test('in the path form goes to the token service of its registry and to nobody else', async () => {
    await using tokens = await startTokenServer(ACCESS, { address: '127.0.0.2' });
    await using registry = await startOrigin({ auth: 'bearer', tokenServer: tokens });
    const { manifest, blob } = await stocked(registry);
    await using store = await startBlobStore(registry, { address: '127.0.0.3', signed: true });
    registry.when({ kind: 'blob', method: 'GET' }, { redirectTo: store });
    const entry = { tokenHosts: [tokens.host], redirectHosts: [store.host] };
    await using house = await startHouse({ registries: { 'lab.test': { url: registry.url, entry } } });
    for (const path of [manifest, blob]) {
      const { status } = await ask(`${house.tierUrl}/v2/lab.test/${path}`, { headers: BASIC });
      expect(status).toBe(200);
    }
    expect(shown(registry).filter((value) => String(value).startsWith('Basic'))).toEqual([]);
    expect(store.requests.length).toBeGreaterThan(0);
    expect(shown(store)).toEqual([]);
    expect(shown(house.origin)).toEqual([]);
  });

  test.each([
    ['at another port', (port: number) => `http://127.0.0.1:${port}/token`],
    ['at another address', (port: number) => `http://127.0.0.9:${port}/token`],
    ['with another scheme', (port: number) => `https://127.0.0.1:${port}/token`],
    ['with a name in it', (port: number) => `http://x@127.0.0.1:${port}/token`],
  ])('does not go to a realm %s than the operator knows of', async (_name, realm) => {
    await using trap = await startTrap();
    await using house = await startHouse();
    const { manifest } = await stocked(house.origin);
    const challenge = `Bearer realm="${realm(trap.port)}",service="x",scope="repository:${REPOSITORY}:pull"`;
    house.origin.mood = { status: 401, headers: { 'www-authenticate': challenge } };
    for (const door of [house.mirror, house.tierUrl]) {
      for (const headers of [BASIC, { authorization: 'Bearer abc' }]) {
        for (const target of [`/v2/${REGISTRY}/${manifest}`, `/v2/${manifest}?ns=${REGISTRY}`]) {
          const answer = await ask(door, { target, headers });
          expect([401, 404]).toContain(answer.status);
          expect(String(answer.headers['www-authenticate'])).not.toContain(String(trap.port));
        }
      }
    }
    expect(trap.connections).toBe(0);
  });

  test('does not follow a redirect to another host, nor to another port of the same', async () => {
    await using registry = await startOrigin({ ...ACCESS, auth: 'basic' });
    const { manifest, blob } = await stocked(registry);
    await using elsewhere = await startOrigin();
    await elsewhere.addImage(REPOSITORY, 'v1', { layers: [Buffer.from('layer')] });
    const entry = { redirectHosts: [elsewhere.host] };
    await using house = await startHouse({ registries: { 'lab.test': { url: registry.url, entry } } });
    registry.mood = { redirectTo: elsewhere.url };
    for (const path of [manifest, blob]) {
      for (const method of ['HEAD', 'GET']) {
        await ask(`${house.mirror}/v2/${path}?ns=lab.test`, { method, headers: BASIC });
        await ask(`${house.tierUrl}/v2/lab.test/${path}`, { method, headers: BASIC });
      }
    }
    expect(shown(registry).length).toBeGreaterThan(0);
    expect(elsewhere.requests.length).toBeGreaterThan(0);
    expect(shown(elsewhere)).toEqual([]);
  });

  test.each([
    ['a password', 'Basic realm="give it to me"'],
    ['a token', 'Bearer realm="https://unlisted.example.com/token",service="x",scope="repository:team/app:pull"'],
  ])('in the path form is not shown to a registry that nobody listed, which asks for %s', async (_what, challenge) => {
    using trusted = trustCa(new TestCa());
    const { cert, key } = trusted.ca.issue({ names: ['unlisted.example.com'] });
    const asked: (string | undefined)[] = [];
    const evil = createServer({ cert, key }, (request, response) => {
      asked.push(request.headers.authorization);
      response.writeHead(401, { 'www-authenticate': challenge }).end();
    }).listen(0, '127.0.0.1');
    await once(evil, 'listening');
    await using proxy = await startConnectProxy({ to: { port: (evil.address() as AddressInfo).port } });
    await using house = await startHouse({ origins: { proxy: proxy.url } });
    for (const door of [house.mirror, house.tierUrl]) {
      for (const object of ['manifests/v1', `manifests/${ABSENT}`, `blobs/${ABSENT}`]) {
        const url = `${door}/v2/unlisted.example.com/${REPOSITORY}/${object}`;
        expect([object, (await ask(url, { headers: BASIC })).status]).toEqual([object, 404]);
      }
    }
    expect(new Set(proxy.asked)).toEqual(new Set(['unlisted.example.com:443']));
    expect(asked.length).toBeGreaterThan(0);
    expect(asked.filter((authorization) => authorization !== undefined)).toEqual([]);
    evil.close();
    evil.closeAllConnections();
  });

  test('of one registry is not shown to another of the same repository names', async () => {
    await using first = await startOrigin({ ...ACCESS, auth: 'basic' });
    await using second = await startOrigin({ ...ACCESS, auth: 'bearer' });
    const { manifest } = await stocked(first);
    await stocked(second);
    await using house = await startHouse({ registries: { 'first.test': first, 'second.test': second } });
    const challenges = await Promise.all(
      ['first.test', 'second.test'].map(async (registry) => {
        const answer = await ask(`${house.mirror}/v2/${manifest}?ns=${registry}`, { method: 'HEAD' });
        return answer.headers['www-authenticate'];
      }),
    );
    expect(challenges).toEqual([first.challenge(), second.challenge(REPOSITORY)]);
    expect((await ask(`${house.mirror}/v2/${manifest}?ns=first.test`, { headers: BASIC })).status).toBe(200);
    expect(shown(second).filter((value) => value === BASIC.authorization)).toEqual([]);
    // The grant of the one is no grant of the other.
    expect((await ask(`${house.mirror}/v2/${manifest}?ns=second.test`)).status).toBe(401);
  });
});

describe('what a client sends besides', () => {
  test('does not reach the registry', async () => {
    await using registry = await startOrigin({ ...ACCESS, auth: 'basic' });
    const { manifest, blob } = await stocked(registry);
    await using house = await startHouse({ registries: { 'lab.test': registry } });
    const more = {
      ...BASIC,
      cookie: 'session=1',
      'proxy-authorization': 'Basic eDp5',
      'x-forwarded-for': '10.0.0.1',
      'x-registry-auth': 'e30=',
      connection: 'x-evil, close',
      'x-evil': '1',
    };
    for (const path of [manifest, blob]) {
      const answers = [
        await ask(`${house.mirror}/v2/${path}?ns=lab.test&secret=1`, { headers: more }),
        await ask(`${house.tierUrl}/v2/lab.test/${path}?secret=1`, { headers: more }),
      ];
      expect(answers.map(({ status }) => status)).toEqual([200, 200]);
    }
    expect(new Set(shown(registry))).toEqual(new Set([BASIC.authorization]));
    expect(registry.requests.filter(({ headers }) => headers['x-evil'] !== undefined)).toEqual([]);
    expect(registry.requests.filter(({ query }) => query.has('ns') || query.has('secret'))).toEqual([]);
  });

  test.each([
    ['twice', [`authorization: ${BASIC.authorization}`, 'authorization: Basic eDp5']],
    ['with a line break in it', [`authorization: ${BASIC.authorization}`, ' x-folded: 1']],
    ['over-long', [`authorization: Bearer ${'a'.repeat(70_000)}`]],
    ['with a control character', ['authorization: Basic \u0001abc']],
  ])('as Authorization %s does not make two requests of one, nor one credential of two', async (_name, lines) => {
    await using registry = await startOrigin({ ...ACCESS, auth: 'basic' });
    const { manifest } = await stocked(registry);
    await using house = await startHouse({ registries: { 'lab.test': registry } });
    for (const door of [house.mirror, house.tierUrl]) {
      const { hostname, port } = new URL(door);
      const socket = connect(Number(port), hostname);
      await once(socket, 'connect');
      const head = [`GET /v2/${manifest}?ns=lab.test HTTP/1.1`, 'host: x', 'connection: close', ...lines, '', ''];
      socket.end(head.join('\r\n'));
      const answer = await text(socket).catch(() => ''); // a reset is an answer too
      expect(answer.match(/HTTP\/1\.1 /g)?.length ?? 0).toBeLessThanOrEqual(1);
      expect(answer).not.toMatch(/^HTTP\/1\.1 5/);
    }
    const seen = shown(registry).filter((value) => value !== BASIC.authorization);
    expect(seen).toEqual([]);
    expect((await ask(`${house.mirror}/v2/`)).status).toBe(200);
  });
});
