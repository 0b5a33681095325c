import { Metadata, status } from '@grpc/grpc-js';
import { expect, test } from 'vitest';
import { explain } from '../../circctl/explain.ts';
import { fromGrpcError } from '../../proto/status.ts';

const TIER = '127.0.0.1:5060';

/** What is told of a call that gRPC has ended so. */
function told(code: status, details: string): string[] {
  return explain(fromGrpcError(Object.assign(new Error(details), { code, details, metadata: new Metadata() })), TIER);
}

test('who is known and has no right is told what is missing, and not to look at its token', () => {
  const details = 'ops may not do this; bind a ClusterRole with verbs: ["get"]';
  expect(told(status.PERMISSION_DENIED, details)).toEqual([`${TIER} refuses this: ${details}`]);
});

test('who comes by another name than the certificate’s is told how to say it', () => {
  const names = "Hostname/IP does not match certificate's altnames: IP: 127.0.0.1 is not in the cert's list: ";
  const lines = told(status.UNAVAILABLE, `No connection established. Last error: ${names}. Resolution note: `);
  expect(lines[0]).toBe(`${TIER} and circctl do not trust each other: No connection established. Last error: ${names}`);
  expect(lines[1]).toContain('CIRC_TLS_CA_FILE');
  expect(lines[2]).toBe('through kubectl port-forward: --server-name circ-shared-tier.circ.svc, or what it is called');
});

test('who reaches nobody is told that there may be TLS', () => {
  const lines = told(status.UNAVAILABLE, 'No connection established. Last error: Failed to connect');
  expect(lines).toHaveLength(3);
  expect(lines[2]).toContain('CIRC_TLS_CA_FILE');
});
