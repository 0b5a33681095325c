import { Client, type ServiceError, credentials, loadPackageDefinition } from '@grpc/grpc-js';
import { loadSync } from '@grpc/proto-loader';
import { protoPath } from 'grpc-health-check';
import { describe, expect, test } from 'vitest';
import { digestOf } from '../../oci/digest.ts';
import type { OciError } from '../../oci/error.ts';
import type { OpenBlobResponse__Output } from '../../proto/generated/circ/v1/OpenBlobResponse.ts';
import type { ResolveManifestResponse__Output } from '../../proto/generated/circ/v1/ResolveManifestResponse.ts';
import type { SharedTierClient } from '../../proto/generated/circ/v1/SharedTier.ts';
import { loadServices } from '../../proto/load.ts';
import { fromGrpcError } from '../../proto/status.ts';
import { type OriginOptions, startOrigin } from '../support/origin.ts';
import { APP, REGISTRY, type TierOptions, failureOf, tierOf } from './fixtures.ts';
import { grpcServerOf } from './grpc-fixture.ts';

const LAYER = Buffer.from('the bytes of a layer');
const target = { registry: REGISTRY, repository: APP };

async function serverOf(options: TierOptions = {}, originOptions: OriginOptions = {}) {
  const stack = new AsyncDisposableStack();
  const origin = stack.use(await startOrigin(originOptions));
  const { manifest } = await origin.addImage(APP, 'v1', { layers: [LAYER] });
  const tier = stack.use(await tierOf({ [REGISTRY]: origin }, options));
  const reports: [string, OciError | undefined][] = [];
  const server = stack.use(
    await grpcServerOf(tier, {
      report: (method, _ms, { error }) => reports.push([method, error]),
    }),
  );
  const address = `127.0.0.1:${server.port}`;
  const client: SharedTierClient = new (loadServices().SharedTier)(address, credentials.createInsecure());
  stack.defer(() => client.close());
  return {
    ...tier,
    origin,
    manifest,
    reports,
    address,
    server,
    resolve: (request: Parameters<SharedTierClient['ResolveManifest']>[0]) =>
      answerOf<ResolveManifestResponse__Output>((callback) => client.ResolveManifest(request, callback)),
    open: (request: Parameters<SharedTierClient['OpenBlob']>[0]) =>
      answerOf<OpenBlobResponse__Output>((callback) => client.OpenBlob(request, callback)),
    [Symbol.asyncDispose]: () => stack[Symbol.asyncDispose](),
  };
}

/** The answer of a call, or the OciError that the other end threw. */
async function answerOf<T>(call: (callback: (error: ServiceError | null, value?: T) => void) => unknown): Promise<T> {
  const { promise, resolve, reject } = Promise.withResolvers<T>();
  call((error, value) => {
    if (error || value === undefined) reject(fromGrpcError(error));
    else resolve(value);
  });
  return await promise;
}

describe('the gRPC service', () => {
  test('resolves a manifest, with its bytes when they are wanted', async () => {
    await using it = await serverOf();
    const head = await it.resolve({ target, reference: 'v1' });
    expect(head.manifest).toEqual({
      digest: it.manifest.digest,
      mediaType: it.manifest.mediaType,
      size: it.manifest.sizeBytes,
    });
    expect(head.content).toHaveLength(0);
    const got = await it.resolve({ target, reference: 'v1', withContent: true });
    expect(digestOf(got.content)).toBe(it.manifest.digest);
    expect(got.grant?.validForMs).toBeGreaterThan(50_000);
  });

  test('opens a blob: where to read it, for how long', async () => {
    await using it = await serverOf();
    const answer = await it.open({ target, digest: digestOf(LAYER) });
    expect(answer).toMatchObject({ size: LAYER.length, fromOrigin: true });
    expect(answer.readUrl).toMatch(/^http:\/\/replica\.test:5061\/circ\/v1\/read\//);
    expect(answer.validForMs).toBeGreaterThan(0);
    expect(answer.validForMs).toBeLessThanOrEqual(60_000);
  });

  test('tells the size of a blob without opening it', async () => {
    await using it = await serverOf();
    const answer = await it.open({ target, digest: digestOf(LAYER), statOnly: true });
    expect([answer.size, answer.readUrl, it.fetches.count]).toEqual([LAYER.length, '', 0]);
  });

  test('gives no grant when proofs are not remembered, and a read all the same', async () => {
    await using it = await serverOf({ ttlMs: 0 });
    await it.resolve({ target, reference: 'v1' });
    const answer = await it.open({ target, digest: digestOf(LAYER) });
    expect([answer.grant, answer.validForMs > 0]).toEqual([null, true]);
  });

  test('lets a read begin no later than the right to it ends', async () => {
    await using it = await serverOf({ ttlMs: 3_000 });
    await it.resolve({ target, reference: 'v1' });
    for (let time = 1; time <= 2; time += 1) {
      const { validForMs, grant } = await it.open({ target, digest: digestOf(LAYER) });
      expect(validForMs).toBeLessThanOrEqual(3_000);
      expect(grant?.validForMs).toBeLessThanOrEqual(3_000);
    }
  });

  test('asks the origin with what the caller has sent, and relays what that says', async () => {
    await using it = await serverOf({}, { auth: 'bearer', privateRepositories: [APP] });
    const challenge = [it.origin.challenge(APP)];
    const bare = await failureOf(it.resolve({ target, reference: 'v1', form: 'FORM_NS' }));
    expect(bare).toMatchObject({ code: 'UNAUTHORIZED', challenge });
    for (const form of ['FORM_PATH', 'FORM_DEFAULT', 'FORM_UNSPECIFIED'] as const) {
      const path = await failureOf(it.open({ target, digest: digestOf(LAYER), form }));
      expect(path).toMatchObject({ code: 'UNAUTHORIZED', challenge: ['Basic realm="circ"'] });
    }
    const authorization = `Bearer ${it.origin.tokens.issue([APP])}`;
    const got = await it.resolve({ target, reference: 'v1', authorization, form: 'FORM_NS' });
    expect(got.manifest?.digest).toBe(it.manifest.digest);
    const opened = await it.open({ target, digest: digestOf(LAYER), authorization, grant: got.grant?.token ?? '' });
    expect(opened.size).toBe(LAYER.length);
    const stranger = { authorization: `Bearer ${it.origin.tokens.issue([])}`, grant: got.grant?.token ?? '' };
    const refused = await failureOf(it.open({ target, digest: digestOf(LAYER), ...stranger }));
    expect(refused).toMatchObject({ code: 'BLOB_UNKNOWN', denied: true });
  });

  test.each(['Bearer a\r\nx: y', 'nonsense', 'Bearer ä'])('refuses the authorization %j', async (authorization) => {
    await using it = await serverOf();
    const error = await failureOf(it.resolve({ target, reference: 'v1', authorization }));
    expect([error.code, it.origin.requests]).toEqual(['AUTHORIZATION_INVALID', []]);
  });

  test('reports every question', async () => {
    await using it = await serverOf();
    await it.resolve({ target, reference: 'v1' });
    await failureOf(it.open({ target, digest: 'nonsense' }));
    expect(it.reports.map(([method, error]) => [method, error?.code])).toEqual([
      ['ResolveManifest', undefined],
      ['OpenBlob', 'DIGEST_INVALID'],
    ]);
  });
});

describe('an error', () => {
  test.each<[string, (it: Awaited<ReturnType<typeof serverOf>>) => Promise<unknown>, string]>([
    ['of an absent manifest', (it) => it.resolve({ target, reference: 'absent' }), 'MANIFEST_UNKNOWN'],
    ['of an absent blob', (it) => it.open({ target, digest: digestOf(Buffer.from('x')) }), 'BLOB_UNKNOWN'],
    [
      'of a registry that is not served',
      (it) => it.resolve({ target: { ...target, registry: 'x' }, reference: 'v1' }),
      'NAME_UNKNOWN',
    ],
    ['of no target', (it) => it.resolve({ reference: 'v1' }), 'NAME_INVALID'],
    [
      'of a target with a path',
      (it) => it.resolve({ target: { ...target, registry: 'a/b' }, reference: 'v1' }),
      'NAME_INVALID',
    ],
    [
      'of userinfo',
      (it) => it.resolve({ target: { ...target, registry: 'u@quay.io' }, reference: 'v1' }),
      'NAME_INVALID',
    ],
    [
      'of metadata',
      (it) => it.resolve({ target: { ...target, registry: '169.254.169.254' }, reference: 'v1' }),
      'NAME_UNKNOWN',
    ],
    [
      'of metadata in hex',
      (it) => it.resolve({ target: { ...target, registry: '0xa9fea9fe' }, reference: 'v1' }),
      'NAME_UNKNOWN',
    ],
    [
      'of a path that climbs',
      (it) => it.resolve({ target: { ...target, repository: '../x' }, reference: 'v1' }),
      'NAME_INVALID',
    ],
    [
      'of two slashes',
      (it) => it.resolve({ target: { ...target, repository: 'a//b' }, reference: 'v1' }),
      'NAME_INVALID',
    ],
    ['of a tag that climbs', (it) => it.resolve({ target, reference: '../../x' }), 'TAG_INVALID'],
    ['of a tag with a query', (it) => it.resolve({ target, reference: 'v1?x=y' }), 'TAG_INVALID'],
    ['of a digest that is none', (it) => it.open({ target, digest: 'sha256:../../x' }), 'DIGEST_INVALID'],
    ['of a digest in capitals', (it) => it.open({ target, digest: digestOf(LAYER).toUpperCase() }), 'DIGEST_INVALID'],
  ])('%s arrives as it was thrown', async (_name, call, code) => {
    await using it = await serverOf();
    expect((await failureOf(call(it))).code).toBe(code);
  });

  test('that is a denial says so, in the words of an absent object', async () => {
    await using it = await serverOf();
    it.origin.mood = { status: 403 };
    const error = await failureOf(it.resolve({ target, reference: 'v1' }));
    expect(error).toMatchObject({ code: 'MANIFEST_UNKNOWN', denied: true, message: 'manifest unknown' });
  });

  test('never names the origin’s address', async () => {
    await using it = await serverOf();
    await it.origin.down();
    const error = await failureOf(it.resolve({ target, reference: 'v1' }));
    expect(error.code).toBe('UNAVAILABLE');
    expect(error.message).not.toContain('127.0.0.1');
  });
});

test('health says SERVING', async () => {
  await using it = await serverOf();
  const definition = loadSync(protoPath, { enums: String, defaults: true });
  const { check } = serviceOf(definition, ['grpc', 'health', 'v1', 'Health'], it.address);
  expect(await check('Check', { service: '' })).toMatchObject({ status: 'SERVING' });
  expect(await check('Check', { service: 'circ.v1.SharedTier' })).toMatchObject({ status: 'SERVING' });
});

test('reflection lists the service, health included', async () => {
  await using it = await serverOf();
  expect(await servicesOf(it.address)).toEqual(expect.arrayContaining(['circ.v1.SharedTier', 'grpc.health.v1.Health']));
});

test('a server that stops does not wait for calls without end', async () => {
  await using it = await serverOf();
  it.origin.mood = { stallHeaders: true };
  const asked = failureOf(it.resolve({ target, reference: 'v1' }));
  await it.origin.arrived({});
  const startedAt = performance.now();
  await it.server[Symbol.asyncDispose]();
  expect(performance.now() - startedAt).toBeLessThan(2_000);
  expect((await asked).code).toBe('UNAVAILABLE');
});

/** Calls of a service that has no generated types here. */
function serviceOf(definition: ReturnType<typeof loadSync>, path: readonly string[], address: string) {
  let found: unknown = loadPackageDefinition(definition);
  for (const name of path) found = (found as Record<string, unknown>)[name];
  const Service = found as new (address: string, channel: ReturnType<typeof credentials.createInsecure>) => Client;
  return {
    check: async (method: string, request: object): Promise<unknown> => {
      const client = new Service(address, credentials.createInsecure());
      try {
        const call = (client as unknown as Record<string, (request: object, callback: () => void) => void>)[method];
        return await answerOf((callback) => call?.call(client, request, callback as () => void));
      } finally {
        client.close();
      }
    },
  };
}

/** What grpcurl's `list` asks: https://github.com/grpc/grpc/blob/master/doc/server-reflection.md */
async function servicesOf(address: string): Promise<string[]> {
  const client = new Client(address, credentials.createInsecure());
  const { promise, resolve, reject } = Promise.withResolvers<Buffer>();
  const call = client.makeBidiStreamRequest(
    '/grpc.reflection.v1.ServerReflection/ServerReflectionInfo',
    (request: Buffer) => request,
    (answer: Buffer) => answer,
  );
  call.on('data', resolve);
  call.on('error', reject);
  call.write(Buffer.from([0x3a, 0x01, 0x2a])); // list_services = 7: "*"
  const answer = (await promise).toString('latin1');
  call.end();
  client.close();
  return answer.match(/[a-z][\w.]+\.[A-Z]\w+/g) ?? [];
}
