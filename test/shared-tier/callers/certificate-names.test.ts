import { X509Certificate } from 'node:crypto';
import { expect, test } from 'vitest';
import { certificateNames } from '../../../shared-tier/callers/certificate-names.ts';
import { TestCa } from '../../support/certificates.ts';

const ca = new TestCa();

function namesOf(options: Parameters<TestCa['issue']>[0]): string[] {
  return certificateNames(new X509Certificate(ca.issue(options).cert).subjectAltName);
}

test('a certificate has the names that its issuer gave it as DNS names and URIs', () => {
  expect(namesOf({ names: ['Agent.test', 'b.test'], uris: ['spiffe://td/ns/A'], ips: ['10.0.0.1'] })).toEqual([
    'agent.test',
    'b.test',
    'spiffe://td/ns/A',
  ]);
});

test.each([
  ['a URI', { uris: ['spiffe://x/a, DNS:agent.test'] }],
  ['a URI with quotes', { uris: ['spiffe://x/a", DNS:agent.test, URI:"b'] }],
  ['a DNS name', { names: ['x.test, DNS:agent.test'] }],
])('%s cannot smuggle another name in', (_name, options) => {
  expect(namesOf(options)).not.toContain('agent.test');
});

test.each([undefined, '', 'DNS:agent.test, rubbish', 'DNS:"agent.test', 'nonsense'])('%j gives no names', (text) => {
  expect(certificateNames(text)).toEqual([]);
});

test('an address is no name', () => {
  expect(certificateNames('IP Address:10.0.0.1, email:agent.test, DNS:b.test')).toEqual(['b.test']);
});
