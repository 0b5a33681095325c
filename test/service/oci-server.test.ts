import { once } from 'node:events';
import { type Socket, connect } from 'node:net';
import { describe, expect, test } from 'vitest';
import { digestOf } from '../../oci/digest.ts';
import { type ErrorCode, OciError } from '../../oci/error.ts';
import { parseRegistry } from '../../oci/reference.ts';
import { listenOn } from '../../service/listen.ts';
import { type RequestReport, createOciServer } from '../../service/oci-server.ts';
import type { OciSource } from '../../service/oci-source.ts';
import { type AskOptions, ask } from '../support/origin-client.ts';

const BYTES = Buffer.from('0123456789');
const DIGEST = digestOf(BYTES);
const MANIFEST = Buffer.from('{"schemaVersion":2}');
const MANIFEST_DIGEST = digestOf(MANIFEST);
const TYPE = 'application/vnd.oci.image.manifest.v1+json';
const BLOB = `/v2/org/app/blobs/${DIGEST}`;
const TAG = '/v2/org/app/manifests/v1';

/** A source that has one manifest and one blob, whatever is asked for. */
class OneOfEach implements OciSource {
  open = 0;
  sizeBytes = BYTES.length;
  fail: OciError | undefined;
  chunk: () => AsyncIterable<Buffer> = async function* () {
    yield BYTES;
  };

  async manifest() {
    if (this.fail) throw this.fail;
    const descriptor = { mediaType: TYPE, digest: MANIFEST_DIGEST, sizeBytes: MANIFEST.length };
    return { descriptor, outcome: 'tier-hit' as const, content: MANIFEST };
  }

  async statBlob() {
    if (this.fail) throw this.fail;
    return { sizeBytes: BYTES.length, outcome: 'origin' as const };
  }

  async openBlob() {
    if (this.fail) throw this.fail;
    this.open += 1;
    const { chunk, sizeBytes } = this;
    return {
      sizeBytes,
      outcome: 'node-hit' as const,
      async *chunks({ start, end }: { start: number; end: number }) {
        for await (const bytes of chunk()) yield { bytes: bytes.subarray(start, end), release: () => undefined };
      },
      [Symbol.asyncDispose]: async () => {
        this.open -= 1;
      },
    };
  }
}

async function serving() {
  const source = new OneOfEach();
  const report: RequestReport[] = [];
  const names = { default: parseRegistry('docker.io'), isListed: () => false };
  const app = createOciServer({ source, names, report: (each) => report.push(each) });
  const { port } = await listenOn(app, { host: '127.0.0.1', port: 0 });
  return {
    source,
    report,
    port,
    ask: (target: string, options: AskOptions = {}) => ask(`http://127.0.0.1:${port}`, { target, ...options }),
    raw: (text: string) => raw(port, text),
    [Symbol.asyncDispose]: () => app.close(),
  };
}

/** Sends bytes as they are and returns all that comes until the server ends the connection. */
async function raw(port: number, text: string): Promise<string> {
  const socket = connect(port, '127.0.0.1');
  const pieces: Buffer[] = [];
  socket.on('data', (piece: Buffer) => pieces.push(piece));
  socket.on('error', () => undefined);
  socket.write(text);
  await once(socket, 'close');
  return Buffer.concat(pieces).toString('latin1');
}

function codeIn(body: Buffer | string): string {
  return (JSON.parse(body.toString()) as { errors: { code: string }[] }).errors[0]?.code ?? '';
}

describe('the read side of the distribution API', () => {
  test.each(['/v2/', '/v2', '/v2/?ns=quay.io'])('says 200 to %s', async (path) => {
    await using it = await serving();
    expect(await it.ask(path)).toMatchObject({ status: 200, body: Buffer.from('{}') });
    expect(await it.ask(path, { method: 'HEAD' })).toMatchObject({ status: 200, body: Buffer.alloc(0) });
  });

  test('gives manifests with all the headers that clients need, on GET and HEAD alike', async () => {
    await using it = await serving();
    const get = await it.ask(TAG);
    const head = await it.ask(TAG, { method: 'HEAD' });
    for (const answer of [get, head]) {
      expect(answer).toMatchObject({
        status: 200,
        headers: {
          'content-type': TYPE,
          'content-length': String(MANIFEST.length),
          'docker-content-digest': MANIFEST_DIGEST,
          etag: `"${MANIFEST_DIGEST}"`,
          'accept-ranges': 'bytes',
          'oci-namespace': 'docker.io',
        },
      });
      expect(answer.headers['content-encoding']).toBeUndefined();
    }
    expect(get.body.equals(MANIFEST)).toBe(true);
    expect(head.body).toHaveLength(0);
  });

  test('gives blobs with all the headers that clients need, on GET and HEAD alike', async () => {
    await using it = await serving();
    const headers = {
      'content-type': 'application/octet-stream',
      'content-length': '10',
      'docker-content-digest': DIGEST,
    };
    expect(await it.ask(`${BLOB}?ns=quay.io`)).toMatchObject({
      status: 200,
      headers: { ...headers, 'oci-namespace': 'quay.io' },
      body: BYTES,
    });
    expect(await it.ask(BLOB, { method: 'HEAD' })).toMatchObject({ status: 200, headers, body: Buffer.alloc(0) });
  });

  test.each([
    ['bytes=2-4', 206, 'bytes 2-4/10', '234'],
    ['bytes=7-', 206, 'bytes 7-9/10', '789'],
    ['bytes=0-', 206, 'bytes 0-9/10', '0123456789'],
    ['bytes=-3', 206, 'bytes 7-9/10', '789'],
    ['bytes=5-999', 206, 'bytes 5-9/10', '56789'],
    ['bytes=1-2,4-5', 200, undefined, '0123456789'],
    ['bytes=4-2', 200, undefined, '0123456789'],
    ['lines=1-2', 200, undefined, '0123456789'],
  ])('answers a blob´s range %s with %i', async (range, status, contentRange, body) => {
    await using it = await serving();
    const answer = await it.ask(BLOB, { headers: { range } });
    expect(answer).toMatchObject({ status, body: Buffer.from(body), failure: undefined });
    expect(answer.headers['content-range']).toBe(contentRange);
    expect(answer.headers['content-length']).toBe(String(body.length));
  });

  test.each(['bytes=10-', 'bytes=10-20', 'bytes=-0'])('answers %s with 416', async (range) => {
    await using it = await serving();
    const answer = await it.ask(BLOB, { headers: { range } });
    expect([answer.status, codeIn(answer.body)]).toEqual([416, 'RANGE_INVALID']);
    expect(it.source.open).toBe(0);
  });

  test('knows ranges of manifests too', async () => {
    await using it = await serving();
    const body = MANIFEST.subarray(3);
    expect(await it.ask(TAG, { headers: { range: 'bytes=3-' } })).toMatchObject({ status: 206, body });
    expect(await it.ask(TAG, { headers: { range: 'bytes=999-' } })).toMatchObject({ status: 416 });
  });

  test.each([
    [`"${MANIFEST_DIGEST}"`, 304],
    [`W/"${MANIFEST_DIGEST}"`, 304],
    [`"x", "${MANIFEST_DIGEST}"`, 304],
    ['*', 304],
    [`"${DIGEST}"`, 200],
  ])('answers If-None-Match: %s on a manifest with %i', async (value, status) => {
    await using it = await serving();
    for (const method of ['GET', 'HEAD']) {
      const answer = await it.ask(TAG, { method, headers: { 'if-none-match': value } });
      expect(answer).toMatchObject({ status, headers: { etag: `"${MANIFEST_DIGEST}"` } });
      if (status === 304) expect(answer.body).toHaveLength(0);
    }
  });

  test.each([
    ['UNAUTHORIZED', 401],
    ['NAME_UNKNOWN', 404],
    ['MANIFEST_UNKNOWN', 404],
    ['BLOB_UNKNOWN', 404],
    ['UNAVAILABLE', 503],
    ['CORRUPT', 503],
    ['INTERNAL', 500],
  ] as [ErrorCode, number][])('says %s as %i in the form of the specification', async (code, status) => {
    await using it = await serving();
    it.source.fail = new OciError(code, 'why', { challenge: 'Bearer realm="x"', cause: new Error('secret') });
    for (const path of [TAG, BLOB]) {
      const get = await it.ask(path);
      expect(get).toMatchObject({ status, headers: { 'content-type': 'application/json' } });
      expect(JSON.parse(get.body.toString())).toEqual({ errors: [{ code, message: 'why' }] });
      const head = await it.ask(path, { method: 'HEAD' });
      expect(head).toMatchObject({ status, body: Buffer.alloc(0), failure: undefined });
    }
  });

  test('gives the challenge with a 401', async () => {
    await using it = await serving();
    it.source.fail = new OciError('UNAUTHORIZED', 'why', { challenge: 'Bearer realm="x",service="y"' });
    expect((await it.ask(TAG)).headers['www-authenticate']).toBe('Bearer realm="x",service="y"');
  });

  test('does not tell what exists but is denied from what is absent', async () => {
    await using it = await serving();
    it.source.fail = new OciError('BLOB_UNKNOWN', 'blob unknown', { denied: true });
    const denied = await it.ask(BLOB);
    it.source.fail = new OciError('BLOB_UNKNOWN', 'blob unknown');
    const absent = await it.ask(BLOB);
    expect([denied.status, denied.body.toString()]).toEqual([absent.status, absent.body.toString()]);
  });

  test.each(['POST', 'PUT', 'DELETE', 'PATCH', 'OPTIONS', 'TRACE', 'PROPFIND', 'QUERY', 'PURGE'])(
    'refuses %s in the form of the specification',
    async (method) => {
      await using it = await serving();
      for (const headers of [{}, { 'content-type': 'nonsense' }, { 'content-type': 'application/json' }]) {
        const text = [
          'host: x',
          'connection: close',
          'content-length: 2',
          ...Object.entries(headers).map((h) => h.join(': ')),
        ];
        const answer = await it.raw(`${method} ${BLOB} HTTP/1.1\r\n${text.join('\r\n')}\r\n\r\n{}`);
        expect(answer).toMatch(/^HTTP\/1\.1 40[45] /);
        expect(codeIn(answer.slice(answer.indexOf('\r\n\r\n') + 4))).toBe('UNSUPPORTED');
      }
    },
  );

  const LONG = `/v2/${'a'.repeat(5_000)}/manifests/v1`;
  test.each([
    '/',
    '/v1/',
    '/v2/_catalog',
    '/v2/org/app/tags/list',
    '/v2/org/app/blobs/uploads/',
    '/metrics',
    '//v2/',
    '/v2//manifests/v1',
    '/v2/org//app/manifests/v1',
    '/v2/../../etc/passwd',
    '/v2/org/../manifests/v1',
    '/v2/org%2fapp/manifests/v1',
    '/v2/org/app/manifests/..%2f..%2fetc',
    '/v2/org/app/manifests/%2e%2e',
    '/v2/org/app/manifests/v1%00',
    '/v2/org/app/manifests/%zz',
    '/v2/org/app/manifests/%c0%ae',
    '/v2/ORG/app/manifests/v1',
    '/v2/org/app/blobs/sha256:abc',
    '/v2/org/app/blobs/sha256:../../../../etc/passwd',
    `/v2/org/app/blobs/${DIGEST.toUpperCase()}`,
    `/v2/org/app/blobs/${DIGEST}/`,
    `${TAG}?ns=a.test&ns=b.test`,
    `${TAG}?ns=user:secret@a.test`,
    `${TAG}?ns=a.test/path`,
    `${TAG}?ns=`,
    `${TAG}?ns=http://a.test`,
    LONG,
  ])('refuses %.80s in the form of the specification, without asking its source', async (target) => {
    await using it = await serving();
    it.source.fail = new OciError('INTERNAL', 'was asked');
    const text = await it.raw(`GET ${target} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n`);
    expect(text).toMatch(/^HTTP\/1\.1 40[045] /);
    expect(codeIn(text.slice(text.indexOf('\r\n\r\n') + 4))).toMatch(/INVALID|UNKNOWN|UNSUPPORTED/);
    expect(text).not.toContain('secret');
    await expect.poll(() => it.report.length).toBe(1);
    expect(it.report[0]?.outcome).not.toMatch(/hit|origin/);
  });

  test('answers requests that were sent before the first answer, in their order', async () => {
    await using it = await serving();
    const request = (path: string, more = ''): string => `GET ${path} HTTP/1.1\r\nhost: x\r\n${more}\r\n`;
    const last = request(BLOB, 'connection: close\r\n');
    const text = await it.raw(request('/v2/') + request(BLOB, 'range: bytes=9-\r\n') + request(TAG) + last);
    const bodies = [...text.matchAll(/\r\n\r\n(.*?)(?=HTTP\/1\.1|$)/gs)].map(([, body]) => body);
    expect(bodies).toEqual(['{}', '9', MANIFEST.toString(), BYTES.toString()]);
  });

  test('keeps a connection after an error', async () => {
    await using it = await serving();
    const bad = 'GET /v2/org/app/blobs/nonsense HTTP/1.1\r\nhost: x\r\n\r\n';
    const text = await it.raw(`${bad}GET /v2/ HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n`);
    expect(text.match(/HTTP\/1\.1 \d+/g)).toEqual(['HTTP/1.1 400', 'HTTP/1.1 200']);
  });

  test('sends the headers of a blob before it has the first byte', async () => {
    await using it = await serving();
    const more = Promise.withResolvers<void>();
    it.source.chunk = async function* () {
      await more.promise;
      yield BYTES;
    };
    const socket: Socket = connect(it.port, '127.0.0.1');
    socket.write(`GET ${BLOB} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n`);
    const [head] = (await once(socket, 'data')) as [Buffer];
    expect(head.toString()).toMatch(/^HTTP\/1\.1 200 OK\r\n[^]*\r\n\r\n$/);
    more.resolve();
    expect((await once(socket, 'data'))[0]).toEqual(BYTES);
    await once(socket, 'close');
  });

  test('lets go of a blob whose client hangs up, wherever the blob is then', async () => {
    await using it = await serving();
    let ended = 0;
    it.source.sizeBytes = 2 ** 40;
    it.source.chunk = async function* () {
      try {
        for (;;) yield Buffer.alloc(256 * 1024);
      } finally {
        ended += 1;
      }
    };
    for (let time = 1; time <= 20; time += 1) {
      const socket = connect(it.port, '127.0.0.1');
      socket.on('error', () => undefined);
      socket.write(`GET ${BLOB} HTTP/1.1\r\nhost: x\r\n\r\n`);
      await once(socket, 'data');
      if (time % 2 === 0) socket.resetAndDestroy();
      else socket.destroy();
    }
    await expect.poll(() => [it.source.open, ended]).toEqual([0, 20]);
    await expect.poll(() => it.report.length).toBe(20);
    for (const { outcome, error } of it.report) expect([outcome, error]).toEqual(['node-hit', undefined]);
  });

  test('reports each request once, with what became of it', async () => {
    await using it = await serving();
    await it.ask(BLOB);
    await it.ask(TAG, { method: 'HEAD' });
    await it.ask('/v2/');
    it.source.fail = new OciError('UNAVAILABLE', 'why');
    await it.ask(TAG);
    it.source.fail = new OciError('BLOB_UNKNOWN', 'why', { denied: true });
    await it.ask(BLOB);
    await it.ask(BLOB, { method: 'DELETE' });
    await expect.poll(() => it.report.length).toBe(6);
    const told = it.report.map(({ method, status, outcome, bytes }) => [method, status, outcome, bytes]);
    expect(told).toEqual([
      ['GET', 200, 'node-hit', 10],
      ['HEAD', 200, 'tier-hit', 0],
      ['GET', 200, 'node-hit', 2],
      ['GET', 503, 'unavailable', 0],
      ['GET', 404, 'denied', 0],
      ['DELETE', 405, 'error', 0],
    ]);
    expect(it.report[0]?.firstByteMs).toBeGreaterThanOrEqual(0);
    expect(it.report[3]?.error).toMatchObject({ code: 'UNAVAILABLE' });
  });
});
