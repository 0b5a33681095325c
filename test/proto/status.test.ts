import { Metadata, status } from '@grpc/grpc-js';
import { describe, expect, test } from 'vitest';
import { ERROR_CODES, OciError } from '../../oci/error.ts';
import { connectionClosed, fromGrpcError, isUnanswered, toGrpcError } from '../../proto/status.ts';

/** As grpc-js hands a failed call to its caller. */
function received(error: ReturnType<typeof toGrpcError>): Error {
  return Object.assign(new Error(`${error.code}: ${error.details}`), error);
}

function broken(code: status): Error {
  return received({ code, details: '', metadata: new Metadata() });
}

describe('errors on the wire', () => {
  test.each(ERROR_CODES.map((code) => [code]))('%s arrives as it was thrown', (code) => {
    const thrown = new OciError(code, 'why', { denied: true, cause: new Error('secret') });
    const wire = toGrpcError(thrown);
    expect(wire.code).not.toBe(status.OK);
    expect(JSON.stringify([wire.details, wire.metadata.toJSON()])).not.toContain('secret');
    expect(fromGrpcError(received(wire))).toMatchObject({ code, message: 'why', denied: true });
  });

  test('what is not denied does not arrive as denied', () => {
    const wire = toGrpcError(new OciError('BLOB_UNKNOWN', 'why'));
    expect(fromGrpcError(received(wire)).denied).toBe(false);
  });

  test.each([
    ['MANIFEST_UNKNOWN', status.NOT_FOUND],
    ['UNAVAILABLE', status.UNAVAILABLE],
    ['UNAUTHORIZED', status.UNAUTHENTICATED],
  ] as const)('%s has the status that the contract names', (code, expected) => {
    expect(toGrpcError(new OciError(code, 'why')).code).toBe(expected);
  });

  test('a bug arrives as INTERNAL, without what it says', () => {
    const wire = toGrpcError(new TypeError('secret'));
    expect(wire.code).toBe(status.INTERNAL);
    expect(wire.details).not.toContain('secret');
  });

  test.each([
    status.UNAVAILABLE,
    status.DEADLINE_EXCEEDED,
    status.CANCELLED,
    status.UNKNOWN,
    status.RESOURCE_EXHAUSTED,
  ])('a failure of the transport (%i) is UNAVAILABLE', (code) => {
    const error = fromGrpcError(received({ code, details: '14 details', metadata: new Metadata() }));
    expect(error).toMatchObject({ code: 'UNAVAILABLE', denied: false });
    expect(error.message).not.toContain('14 details');
  });

  test('only a failure of the transport leaves a question unanswered, and only while there is time', () => {
    expect(isUnanswered(fromGrpcError(broken(status.UNAVAILABLE)))).toBe(true);
    expect(isUnanswered(fromGrpcError(broken(status.CANCELLED)))).toBe(true);
    expect(isUnanswered(fromGrpcError(connectionClosed()))).toBe(true);
    expect(isUnanswered(fromGrpcError(broken(status.DEADLINE_EXCEEDED)))).toBe(false);
    for (const code of ERROR_CODES) {
      expect(isUnanswered(fromGrpcError(received(toGrpcError(new OciError(code, 'why')))))).toBe(false);
    }
    expect(isUnanswered(new OciError('UNAVAILABLE', 'why'))).toBe(false);
    expect(isUnanswered(undefined)).toBe(false);
  });

  test('a code that nobody knows is UNAVAILABLE', () => {
    const metadata = new Metadata();
    metadata.set('circ-code', 'SURPRISE');
    expect(fromGrpcError(received({ code: status.NOT_FOUND, details: 'x', metadata })).code).toBe('UNAVAILABLE');
  });
});

test('the challenge of a 401 arrives byte for byte, line by line', () => {
  const challenge = ['Bearer realm="https://a.test/token",service="x,y",scope="repository:a:pull"', 'Basic realm="é"'];
  const thrown = new OciError('UNAUTHORIZED', 'why', { challenge });
  expect(fromGrpcError(received(toGrpcError(thrown)))).toMatchObject({ code: 'UNAUTHORIZED', challenge });
  expect(fromGrpcError(received(toGrpcError(new OciError('UNAUTHORIZED', 'why')))).challenge).toBeUndefined();
});
