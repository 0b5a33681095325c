import { readFile } from 'node:fs/promises';
import { lookup } from 'node:dns/promises';
import { createServer } from 'node:net';
import { once } from 'node:events';
import type { AddressInfo } from 'node:net';
import { request } from 'undici';
import { describe, expect, test } from 'vitest';
import { ERROR_CODES, type ErrorCode, OciError } from '../../oci/error.ts';

describe('the table of errors', () => {
  const table: Record<ErrorCode, number> = {
    NAME_INVALID: 400,
    TAG_INVALID: 400,
    DIGEST_INVALID: 400,
    AUTHORIZATION_INVALID: 400,
    UNAUTHORIZED: 401,
    NAME_UNKNOWN: 404,
    MANIFEST_UNKNOWN: 404,
    BLOB_UNKNOWN: 404,
    BLOB_UPLOAD_UNKNOWN: 404,
    BLOB_UPLOAD_INVALID: 400,
    SIZE_INVALID: 413,
    PUSH_REFUSED: 400,
    ENDPOINT_UNKNOWN: 404,
    UNSUPPORTED: 405,
    RANGE_INVALID: 416,
    INTERNAL: 500,
    CORRUPT: 503,
    UNAVAILABLE: 503,
  };

  test.each(Object.entries(table) as [ErrorCode, number][])('%s is %d', (code, status) => {
    const error = new OciError(code, 'message');
    expect(error.status).toBe(status);
    expect(error.body).toEqual({ errors: [{ code, message: 'message' }] });
  });

  test('has every code', () => {
    expect(ERROR_CODES.toSorted()).toEqual(Object.keys(table).toSorted());
  });

  test('never says 403, 408 or 429, which make containerd give up or ask again', () => {
    const statuses = ERROR_CODES.map((code) => new OciError(code, '').status);
    expect(statuses.filter((status) => [403, 408, 429].includes(status))).toEqual([]);
  });

  test('an absent and a denied object look the same', () => {
    const absent = new OciError('BLOB_UNKNOWN', 'unknown');
    const denied = new OciError('BLOB_UNKNOWN', 'unknown', { denied: true });
    expect([denied.status, denied.body]).toEqual([absent.status, absent.body]);
    expect([absent.denied, denied.denied]).toEqual([false, true]);
  });

  test('the cause and the challenge are kept beside the body, never in it', () => {
    const error = new OciError('UNAUTHORIZED', 'log in', { challenge: ['Bearer realm="x"'], cause: 'secret' });
    expect([error.challenge, error.cause]).toEqual([['Bearer realm="x"'], 'secret']);
    expect(JSON.stringify(error.body)).not.toMatch(/secret|Bearer/);
  });

  test('without a cause there is no such property', () => {
    expect('cause' in new OciError('INTERNAL', 'x')).toBe(false);
  });
});

describe('OciError.from', () => {
  test('leaves an OciError as it is', () => {
    const error = new OciError('TAG_INVALID', 'x');
    expect(OciError.from(error)).toBe(error);
  });

  test.each([
    ['a file that is not there', () => readFile('/does/not/exist')],
    ['a directory read as a file', () => readFile('/')],
    ['a name that no server knows', () => lookup('nobody.invalid')],
    ['a refused connection', async () => await request(`http://127.0.0.1:${await closedPort()}/`)],
    ['a server that hangs up', () => askRaw('')],
    ['a server that does not speak HTTP', () => askRaw('SSH-2.0-OpenSSH_9.2\r\n')],
    ['a server that does not speak TLS', () => askRaw('HTTP/1.1 400 Bad\r\n\r\n', 'https')],
    ['an answer with a broken header', () => askRaw('HTTP/1.1 200 OK\r\nbad header\r\n\r\n')],
    ['an answer with two lengths', () => askRaw('HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nx')],
    ['an answer that is cut short', () => askRaw('HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nabc')],
    ['a chunk that is none', () => askRaw('HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nxyz\r\n')],
    ['an aborted signal', () => Promise.reject(AbortSignal.abort().reason as Error)],
    ['fetch, which hides the reason in its cause', async () => await fetch(`http://127.0.0.1:${await closedPort()}/`)],
  ])('calls %s unavailable', async (_, fail) => {
    const reason: unknown = await fail().then(
      () => 'nothing failed',
      (error: unknown) => error,
    );
    const error = OciError.from(reason);
    expect([error.code, error.message, error.cause]).toEqual(['UNAVAILABLE', 'not available at the moment', reason]);
  });

  test('calls a time-out unavailable', async () => {
    const signal = AbortSignal.timeout(1);
    await once(signal, 'abort');
    expect(OciError.from(signal.reason).code).toBe('UNAVAILABLE');
  });

  test.each([
    'ENOSPC',
    'EIO',
    'EMFILE',
    'EROFS',
    'ECONNRESET',
    'EPIPE',
    'ETIMEDOUT',
    'ENOTFOUND',
    'EAI_AGAIN',
    'EAI_FAIL',
    'EPROTO',
    'UND_ERR_SOCKET',
    'UND_ERR_HEADERS_TIMEOUT',
    'UND_ERR_BODY_TIMEOUT',
    'UND_ERR_CONNECT_TIMEOUT',
    'UND_ERR_RES_CONTENT_LENGTH_MISMATCH',
    'HPE_INVALID_CONSTANT',
    'HPE_HEADER_OVERFLOW',
    'ERR_STREAM_PREMATURE_CLOSE',
    'ERR_SOCKET_CONNECTION_TIMEOUT',
    'ERR_TLS_CERT_ALTNAME_INVALID',
    'ERR_SSL_WRONG_VERSION_NUMBER',
    'CERT_HAS_EXPIRED',
    'DEPTH_ZERO_SELF_SIGNED_CERT',
    'SELF_SIGNED_CERT_IN_CHAIN',
    'UNABLE_TO_VERIFY_LEAF_SIGNATURE',
    'UNABLE_TO_GET_ISSUER_CERT_LOCALLY',
  ])('calls the code %s unavailable, also three causes deep', (code) => {
    const inner = Object.assign(new Error('inner'), { code });
    const outer = new Error('1', { cause: new TypeError('2', { cause: new Error('3', { cause: inner }) }) });
    expect([OciError.from(inner).code, OciError.from(outer).code]).toEqual(['UNAVAILABLE', 'UNAVAILABLE']);
  });

  test.each([
    ['a TypeError', new TypeError("cannot read 'password' of undefined")],
    ['a failed argument check of Node', thrownBy(() => Buffer.alloc(-1))],
    ['an invalid URL', thrownBy(() => new URL('password'))],
    ['broken JSON', thrownBy(() => JSON.parse('{"password"') as unknown)],
    [
      'a full stack',
      thrownBy(function again(): void {
        again();
      }),
    ],
    ['text', 'password'],
    ['an object', { code: 'ECONNRESET', message: 'password' }],
    ['undefined', undefined],
    ['null', null],
    ['an error with a numeric code', Object.assign(new Error('password'), { code: 5 })],
    ['a code that only looks like one', Object.assign(new Error('password'), { code: 'x ECONNRESET' })],
    ['a cause that is text', new Error('password', { cause: 'ECONNRESET' })],
  ])('calls %s internal and tells nothing of it', (_, reason) => {
    const error = OciError.from(reason);
    expect([error.code, error.status]).toEqual(['INTERNAL', 500]);
    expect(JSON.stringify(error.body)).toBe('{"errors":[{"code":"INTERNAL","message":"internal error"}]}');
    expect(error.cause).toBe(reason);
  });

  test('comes to an end where causes go in a circle', () => {
    const [first, second] = [new Error('first'), new Error('second')];
    first.cause = second;
    second.cause = first;
    expect(OciError.from(first).code).toBe('INTERNAL');
  });

  test('comes to an end where causes never end', () => {
    let reason = new Error('the first of many');
    for (let depth = 0; depth < 20_000; depth += 1) reason = new Error('more', { cause: reason });
    expect(OciError.from(reason).code).toBe('INTERNAL');
  });
});

function thrownBy(fail: () => unknown): unknown {
  try {
    return fail();
  } catch (error) {
    return error;
  }
}

async function closedPort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  server.close();
  await once(server, 'close');
  return port;
}

/** Reads the answer of a server that says these bytes to whoever writes to it, and hangs up. */
async function askRaw(bytes: string, scheme = 'http'): Promise<string> {
  const server = createServer((socket) => {
    socket.on('error', () => undefined);
    socket.once('data', () => socket.end(bytes));
  }).listen(0, '127.0.0.1');
  await once(server, 'listening');
  try {
    const { body } = await request(`${scheme}://127.0.0.1:${(server.address() as AddressInfo).port}/`);
    return await body.text();
  } finally {
    server.close();
  }
}
