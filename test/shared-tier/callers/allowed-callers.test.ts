import { describe, expect, test } from 'vitest';
import { parseAllowedCallers } from '../../../shared-tier/callers/allowed-callers.ts';

describe('parseAllowedCallers', () => {
  test('reads ServiceAccounts for an audience, which may be a URL', () => {
    expect(parseAllowedCallers('tokenreview:circ:circ/agent')).toEqual({
      kind: 'tokenreview',
      audience: 'circ',
      users: new Set(['system:serviceaccount:circ:agent']),
    });
    expect(parseAllowedCallers('tokenreview:https://circ.example:8443:circ/agent,ops/circ.ctl')).toEqual({
      kind: 'tokenreview',
      audience: 'https://circ.example:8443',
      users: new Set(['system:serviceaccount:circ:agent', 'system:serviceaccount:ops:circ.ctl']),
    });
  });

  test('reads names of certificates, hosts without case', () => {
    expect(parseAllowedCallers('mtls:Agent.circ.svc,spiffe://Cluster.local/ns/circ/sa/agent')).toEqual({
      kind: 'mtls',
      names: new Set(['agent.circ.svc', 'spiffe://Cluster.local/ns/circ/sa/agent']),
    });
  });

  test('reads any', () => {
    expect(parseAllowedCallers('any')).toEqual({ kind: 'any' });
  });

  test.each([
    '',
    'anybody',
    'mtls',
    'mtls:',
    'mtls:a,,b',
    'mtls:a, b',
    'tokenreview:circ',
    'tokenreview::circ/agent',
    'tokenreview:circ:',
    'tokenreview:circ:agent',
    'tokenreview:circ:circ/agent,',
    'tokenreview:circ:circ/agent/more',
    'tokenreview:circ:Circ/agent',
    'tokenreview:circ:*/agent',
    'tokenreview:a circ:circ/agent',
  ])('refuses %j', (text) => {
    expect(() => parseAllowedCallers(text)).toThrow('tokenreview:AUDIENCE');
  });
});
