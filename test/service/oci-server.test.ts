import { once } from 'node:events';
import { type Socket, connect } from 'node:net';
import { describe, expect, test } from 'vitest';
import { type ErrorCode, OciError } from '../../oci/error.ts';
import { BLOB, BYTES, DIGEST, MANIFEST, MANIFEST_DIGEST, TAG, TYPE, codeIn, servingOneOfEach } from './fixtures.ts';

describe('the read side of the distribution API', () => {
  test.each(['/v2/', '/v2', '/v2/?ns=quay.io'])('says 200 to %s', async (path) => {
    await using it = await servingOneOfEach();
    expect(await it.ask(path)).toMatchObject({ status: 200, body: Buffer.from('{}') });
    expect(await it.ask(path, { method: 'HEAD' })).toMatchObject({ status: 200, body: Buffer.alloc(0) });
  });

  test('gives manifests with all the headers that clients need, on GET and HEAD alike', async () => {
    await using it = await servingOneOfEach();
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
    await using it = await servingOneOfEach();
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
    ['lines=1-2', 200, undefined, '0123456789'],
  ])('answers a blob´s range %s with %i', async (range, status, contentRange, body) => {
    await using it = await servingOneOfEach();
    const answer = await it.ask(BLOB, { headers: { range } });
    expect(answer).toMatchObject({ status, body: Buffer.from(body), failure: undefined });
    expect(answer.headers['content-range']).toBe(contentRange);
    expect(answer.headers['content-length']).toBe(String(body.length));
  });

  test.each(['bytes=10-', 'bytes=10-20', 'bytes=-0', 'bytes=4-2'])('answers %s with 416', async (range) => {
    await using it = await servingOneOfEach();
    const answer = await it.ask(BLOB, { headers: { range } });
    expect([answer.status, codeIn(answer.body)]).toEqual([416, 'RANGE_INVALID']);
    expect(answer.headers['content-range']).toBe('bytes */10');
    expect(it.source.open).toBe(0);
  });

  test.each([
    [BLOB, `"${DIGEST}"`, 206],
    [BLOB, `W/"${DIGEST}"`, 200],
    [BLOB, `"${MANIFEST_DIGEST}"`, 200],
    [TAG, `"${MANIFEST_DIGEST}"`, 206],
    [TAG, `"${DIGEST}"`, 200],
    [TAG, 'Wed, 25 Nov 2026 00:00:00 GMT', 200],
  ])('gives a range of %s to who has the rest of %s: %i', async (target, ifRange, status) => {
    await using it = await servingOneOfEach();
    const headers = { range: 'bytes=3-', 'if-range': ifRange };
    const whole = target === BLOB ? BYTES : MANIFEST;
    const body = status === 206 ? whole.subarray(3) : whole;
    expect(await it.ask(target, { headers })).toMatchObject({ status, body });
  });

  test('says in every answer that it is a registry, and which one is meant', async () => {
    await using it = await servingOneOfEach();
    const version = { 'docker-distribution-api-version': 'registry/2.0' };
    expect(await it.ask('/v2/')).toMatchObject({ status: 200, headers: version });
    it.source.fail = new OciError('MANIFEST_UNKNOWN', 'not there');
    const headers = { ...version, 'oci-namespace': 'quay.io' };
    expect(await it.ask(`${TAG}?ns=quay.io`)).toMatchObject({ status: 404, headers });
  });

  test('tells who uses another method which there are', async () => {
    await using it = await servingOneOfEach();
    expect(await it.ask(TAG, { method: 'DELETE' })).toMatchObject({ status: 405, headers: { allow: 'GET, HEAD' } });
  });

  test('knows ranges of manifests too', async () => {
    await using it = await servingOneOfEach();
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
    await using it = await servingOneOfEach();
    for (const method of ['GET', 'HEAD']) {
      const answer = await it.ask(TAG, { method, headers: { 'if-none-match': value } });
      expect(answer).toMatchObject({ status, headers: { etag: `"${MANIFEST_DIGEST}"` } });
      expect(answer.body).toHaveLength(status === 304 || method === 'HEAD' ? 0 : MANIFEST.length);
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
    await using it = await servingOneOfEach();
    it.source.fail = new OciError(code, 'why', { challenge: ['Bearer realm="x"'], cause: new Error('secret') });
    for (const path of [TAG, BLOB]) {
      const get = await it.ask(path);
      expect(get).toMatchObject({ status, headers: { 'content-type': 'application/json' } });
      expect(JSON.parse(get.body.toString())).toEqual({ errors: [{ code, message: 'why' }] });
      const head = await it.ask(path, { method: 'HEAD' });
      expect(head).toMatchObject({ status, body: Buffer.alloc(0), failure: undefined });
    }
  });

  test('gives the challenge with a 401', async () => {
    await using it = await servingOneOfEach();
    it.source.fail = new OciError('UNAUTHORIZED', 'why', { challenge: ['Bearer realm="x",service="y"'] });
    expect((await it.ask(TAG)).headers['www-authenticate']).toBe('Bearer realm="x",service="y"');
  });

  test('does not tell what exists but is denied from what is absent', async () => {
    await using it = await servingOneOfEach();
    it.source.fail = new OciError('BLOB_UNKNOWN', 'blob unknown', { denied: true });
    const denied = await it.ask(BLOB);
    it.source.fail = new OciError('BLOB_UNKNOWN', 'blob unknown');
    const absent = await it.ask(BLOB);
    expect([denied.status, denied.body.toString()]).toEqual([absent.status, absent.body.toString()]);
  });

  test('sends the headers of a blob before it has the first byte', async () => {
    await using it = await servingOneOfEach();
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
    await using it = await servingOneOfEach();
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
    await using it = await servingOneOfEach();
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
