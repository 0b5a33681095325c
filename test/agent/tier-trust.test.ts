import { Metadata, status } from '@grpc/grpc-js';
import { describe, expect, test } from 'vitest';
import { distrustIn } from '../../agent/tier-trust.ts';
import { OciError } from '../../oci/error.ts';
import { fromGrpcError } from '../../proto/status.ts';

/** What a client throws when gRPC ends a call so. */
function failureOf(code: status, details: string, metadata = new Metadata()): OciError {
  return fromGrpcError(Object.assign(new Error(details), { code, details, metadata }));
}

describe('distrustIn', () => {
  test.each([
    [status.UNAUTHENTICATED, 'system:serviceaccount:a:b is not listed', 'identity'],
    [status.PERMISSION_DENIED, 'no', 'identity'],
    [
      status.UNAVAILABLE,
      'No connection established. Last error: self-signed certificate in certificate chain',
      'certificate',
    ],
    [status.UNAVAILABLE, "Hostname/IP does not match certificate's altnames: Host: a", 'certificate'],
    [status.UNAVAILABLE, 'write EPROTO 0:error:0A00010B:SSL routines::wrong version number', 'certificate'],
  ])('sees in gRPC’s %i, %j: %s', (code, details, kind) => {
    expect(distrustIn(failureOf(code, details))).toMatchObject({ kind, reason: details });
  });

  test.each([
    [status.UNAVAILABLE, 'No connection established. Last error: connect ECONNREFUSED 10.0.0.1:5060'],
    [status.DEADLINE_EXCEEDED, 'Deadline exceeded after 20s'],
    [status.NOT_FOUND, 'certificate.example/image: manifest unknown'],
  ])('sees nothing in gRPC’s %i, %j', (code, details) => {
    expect(distrustIn(failureOf(code, details))).toBeUndefined();
  });

  test('takes an origin’s challenge, which has circ’s own code, for no refusal of the agent', () => {
    const metadata = new Metadata();
    metadata.set('circ-code', 'UNAUTHORIZED');
    expect(distrustIn(failureOf(status.UNAUTHENTICATED, 'credentials are needed', metadata))).toBeUndefined();
  });

  test('sees errors of a connection, and of the token’s file', () => {
    expect(distrustIn(new Error('certificate has expired'))).toMatchObject({ kind: 'certificate' });
    expect(distrustIn(new Error('connect ECONNREFUSED'))).toBeUndefined();
    const cause = new Error('ENOENT: /token');
    expect(distrustIn(new OciError('UNAVAILABLE', 'x', { cause }))).toMatchObject({
      kind: 'token',
      reason: cause.message,
    });
  });
});
