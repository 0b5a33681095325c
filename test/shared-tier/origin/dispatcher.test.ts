import { describe, expect, test } from 'vitest';
import { parseRegistry } from '../../../oci/reference.ts';
import { parseOriginsFile } from '../../../service/origins-file.ts';
import { AddressGuard } from '../../../shared-tier/origin/address-guard.ts';
import { assertDialable, createDispatcher } from '../../../shared-tier/origin/dispatcher.ts';
import { Origins } from '../../../shared-tier/origin/origin.ts';
import { startConnectProxy } from '../../support/connect-proxy.ts';
import { startOrigin } from '../../support/origin.ts';
import { startTokenServer } from '../../support/token-server.ts';
import { APP, canary, clientsOf, failureOf, forever, httpServer, refOf, REGISTRY } from '../fixtures.ts';

const guard = new AddressGuard();

function originOf(name: string, entry?: Record<string, unknown>) {
  const file = parseOriginsFile(JSON.stringify({ registries: entry ? { [name]: entry } : {} }));
  return new Origins(file).get(parseRegistry(name));
}

const ask = { accept: [], signal: forever };

describe('what may be dialled', () => {
  const origin = originOf('quay.io');
  const listed = originOf('registry.lab', { endpoint: 'http://127.0.0.1:5000', redirectHosts: ['10.0.0.9'] });

  test.each(['https://quay.io/', 'https://cdn.example:8443/x', 'https://1.1.1.1/', 'https://[2606:4700::1111]/'])(
    'for an unlisted registry: %s',
    (url) => {
      expect(() => assertDialable(new URL(url), { origin, guard })).not.toThrow();
    },
  );

  test.each([
    'http://quay.io/',
    'ftp://quay.io/',
    'file:///etc/passwd',
    'data:text/plain,x',
    'https://user@quay.io/',
    'https://u:p@quay.io/',
    'https://127.0.0.1/',
    'https://2130706433/',
    'https://0x7f.1/',
    'https://0177.0.0.1/',
    'https://127.1/',
    'https://169.254.169.254/latest/meta-data/',
    'https://[::1]/',
    'https://[::ffff:127.0.0.1]/',
    'https://[::ffff:a9fe:a9fe]/',
    'https://[64:ff9b::a00:1]/',
    'https://[2002:7f00:1::]/',
    'https://[fd00::1]/',
    'https://10.0.0.9/',
  ])('for an unlisted registry is not %s', (url) => {
    expect(() => assertDialable(new URL(url), { origin, guard })).toThrow('not served');
  });

  test.each(['http://127.0.0.1:5000/v2/', 'https://10.0.0.9/', 'http://10.0.0.9:9000/'])(
    'for a listed registry is what its entry names: %s',
    (url) => {
      expect(() => assertDialable(new URL(url), { origin: listed, guard })).not.toThrow();
    },
  );

  test.each([
    'http://127.0.0.1/',
    'http://127.0.0.1:5001/',
    'http://10.0.0.8/',
    'http://u@127.0.0.1:5000/',
    'http://cdn.example/',
  ])('for a listed registry is not what its entry does not name: %s', (url) => {
    expect(() => assertDialable(new URL(url), { origin: listed, guard })).toThrow('not served');
  });
});

describe('a name with a private address', () => {
  test('is not dialled', async () => {
    await using trap = await canary();
    // An entry, so that the name passes; without an endpoint, so that its address is not trusted.
    const dispatcher = createDispatcher({ origin: originOf('quay.io'), guard, proxy: undefined, connections: 1 });

    const asked = dispatcher.request({ origin: `https://localhost:${trap.port}`, path: '/', method: 'GET' });

    await expect(asked).rejects.toMatchObject({ code: 'NAME_UNKNOWN' });
    expect(trap.connections).toBe(0);
    await dispatcher.destroy();
  });

  test('is dialled when the operator wrote it down', async () => {
    await using origin = await startOrigin();
    await origin.addImage(APP, 'v1', { layers: [] });
    await using tier = clientsOf({ [REGISTRY]: { url: origin.url.replace('127.0.0.1', 'localhost') } });

    expect(await tier.registry().headManifest(APP, refOf('v1'), ask)).toMatchObject({ digest: expect.any(String) });
  });
});

describe('a redirect to a private address', () => {
  test.each([
    (port: number) => `http://127.0.0.1:${port}`,
    (port: number) => `https://127.0.0.1:${port}`,
    (port: number) => `https://localhost:${port}`,
    (port: number) => `https://[::ffff:127.0.0.1]:${port}`,
    (port: number) => `https://2130706433:${port}`,
    (port: number) => `//127.1:${port}`,
  ])('is not dialled: %s', async (base) => {
    await using trap = await canary();
    await using origin = await startOrigin();
    await origin.addImage(APP, 'v1', { layers: [] });
    const { digest } = await origin.addBlob(APP, Buffer.from('layer'));
    await using tier = clientsOf({ [REGISTRY]: origin });
    origin.mood = { redirectTo: base(trap.port) };

    const errors = [
      await failureOf(tier.registry().headManifest(APP, refOf('v1'), ask)),
      await failureOf(tier.registry().getManifest(APP, refOf('v1'), ask)),
      await failureOf(tier.registry().headBlob(APP, digest, ask)),
      await failureOf(tier.registry().getBlob(APP, digest, undefined, ask)),
    ];

    expect(errors.map(({ code }) => code)).toEqual(Array.from({ length: 4 }, () => 'NAME_UNKNOWN'));
    expect(trap.connections).toBe(0);
    const { host, hostname } = new URL(base(trap.port), 'http://origin.invalid');
    // Of a name that is looked up nobody knows the port.
    const where = hostname === 'localhost' ? hostname : host;
    expect(tier.unlisted).toContainEqual({ key: 'redirectHosts', host: where });
  });

  test('is followed to a host that the operator wrote down', async () => {
    await using store = await startOrigin();
    await using origin = await startOrigin();
    const { manifest } = await store.addImage(APP, 'v1', { layers: [] });
    origin.mood = { redirectTo: store.url };
    await using tier = clientsOf({ [REGISTRY]: origin }, { entry: { redirectHosts: [store.host] } });

    expect(await tier.registry().headManifest(APP, refOf('v1'), ask)).toMatchObject({ digest: manifest.digest });
  });

  test('is not followed to another port of the host of the endpoint', async () => {
    await using trap = await canary();
    await using server = await httpServer((_request, response) => {
      response.writeHead(307, { location: `http://127.0.0.1:${trap.port}/` }).end();
    });
    await using tier = clientsOf({ [REGISTRY]: server }, { entry: { redirectHosts: ['other.lab'] } });

    await failureOf(tier.registry().headManifest(APP, refOf('v1'), ask));

    expect(trap.connections).toBe(0);
  });
});

describe('a token realm at a private address', () => {
  test.each([
    (port: number) => `http://127.0.0.1:${port}/token`,
    (port: number) => `https://127.0.0.1:${port}/token`,
    (port: number) => `https://localhost:${port}/token`,
    (port: number) => `http://evil@127.0.0.1:${port}/token`,
  ])('is not dialled: %s', async (realm) => {
    await using trap = await canary();
    await using origin = await startOrigin();
    origin.mood = { status: 401, headers: { 'www-authenticate': `Bearer realm="${realm(trap.port)}"` } };
    await using tier = clientsOf({ [REGISTRY]: origin });

    const error = await failureOf(tier.registry().headManifest(APP, refOf('v1'), ask));

    expect(error).toMatchObject({ code: 'MANIFEST_UNKNOWN', denied: true });
    expect(trap.connections).toBe(0);
  });

  test('is asked when the operator wrote it down', async () => {
    await using tokenServer = await startTokenServer();
    await using origin = await startOrigin({ auth: 'bearer', tokenServer });
    const { manifest } = await origin.addImage(APP, 'v1', { layers: [] });
    await using tier = clientsOf({ [REGISTRY]: origin }, { entry: { tokenHosts: [tokenServer.host] } });

    expect(await tier.registry().headManifest(APP, refOf('v1'), ask)).toMatchObject({ digest: manifest.digest });
    expect(tokenServer.count({ kind: 'token' })).toBe(1);
  });
});

describe('an egress proxy', () => {
  test('carries requests to public registries, by name', async () => {
    await using trap = await canary();
    await using proxy = await startConnectProxy({ to: trap });
    await using tier = clientsOf({}, { file: { proxy: proxy.url } });

    const registry = tier.registry(parseRegistry('quay.io'));
    const error = await failureOf(registry.headManifest(APP, refOf('v1'), ask));

    expect([error.code, proxy.asked[0]]).toEqual(['UNAVAILABLE', 'quay.io:443']);
    expect(trap.connections).toBeGreaterThan(0);
  });

  test('carries requests to a listed plain http endpoint', async () => {
    await using proxy = await startConnectProxy();
    await using origin = await startOrigin();
    const { manifest } = await origin.addImage(APP, 'v1', { layers: [] });
    await using tier = clientsOf({ [REGISTRY]: origin }, { file: { proxy: proxy.url } });

    expect(await tier.registry().headManifest(APP, refOf('v1'), ask)).toMatchObject({ digest: manifest.digest });
    expect(proxy.asked).not.toEqual([]);
  });

  test('is not asked for literal private addresses', async () => {
    await using proxy = await startConnectProxy();
    await using origin = await startOrigin();
    origin.mood = { redirectTo: 'https://169.254.169.254' };
    await using tier = clientsOf({ [REGISTRY]: origin }, { file: { proxy: proxy.url } });

    const error = await failureOf(tier.registry().headManifest(APP, refOf('v1'), ask));

    expect(error.code).toBe('NAME_UNKNOWN');
    expect(proxy.asked.filter((target) => target.includes('169.254'))).toEqual([]);
  });

  test.each(['https', 'http'])(
    'that never answers is given up like a silent origin (%s)',
    async (scheme) => {
      await using proxy = await startConnectProxy({ silent: true });
      const endpoint = { url: `${scheme}://registry.lab:5000` };
      await using tier = clientsOf({ [REGISTRY]: endpoint }, { file: { proxy: proxy.url }, silenceMs: 200 });

      const error = await failureOf(tier.registry().headManifest(APP, refOf('v1'), ask));

      expect(error.code).toBe('UNAVAILABLE');
    },
    5_000,
  );

  test('does not keep a stalled body open longer than a silent origin would', async () => {
    await using proxy = await startConnectProxy();
    await using origin = await startOrigin();
    const { digest } = await origin.addBlob(APP, Buffer.alloc(1000));
    origin.mood = { stallAt: 10 };
    await using tier = clientsOf({ [REGISTRY]: origin }, { file: { proxy: proxy.url }, silenceMs: 200 });

    const body = await tier.registry().getBlob(APP, digest, undefined, ask);

    await expect(Array.fromAsync(body.pieces)).rejects.toMatchObject({ code: 'UND_ERR_BODY_TIMEOUT' });
  }, 5_000);
});
