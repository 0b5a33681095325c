import { describe, expect, test } from 'vitest';
import { Authorization } from '../../../oci/authorization.ts';
import { OciError } from '../../../oci/error.ts';
import { parseRegistry } from '../../../oci/reference.ts';
import type { RequestForm } from '../../../oci/request.ts';
import { parseOriginsFile } from '../../../service/origins-file.ts';
import { Callers, answerFor } from '../../../shared-tier/access/caller.ts';
import { Origins } from '../../../shared-tier/origin/origin.ts';

const origins = new Origins(parseOriginsFile('default: ghcr.io\nregistries:\n  quay.io: {}\n'));
const callers = new Callers(Buffer.alloc(32, 1));
const secret = Authorization.basic({ username: 'u', password: 'p' });

function callerOf(form: RequestForm, registry: string, authorization: Authorization | undefined = secret) {
  return callers.of({ form, authorization }, origins.get(parseRegistry(registry)));
}

function nobody(form: RequestForm) {
  return callers.of({ form, authorization: undefined }, origins.get(parseRegistry('quay.io')));
}

describe('a caller', () => {
  test.each<[RequestForm, string, boolean]>([
    ['ns', 'quay.io', true],
    ['ns', 'docker.io', true],
    ['path', 'quay.io', true],
    ['path', 'ghcr.io', true],
    ['default', 'ghcr.io', true],
    ['path', 'docker.io', false],
    ['path', 'registry.gitlab.com', false],
  ])('of the form %s shows its secret to %s: %s', (form, registry, isShown) => {
    const { credential } = callerOf(form, registry);
    expect(credential.authorization === secret).toBe(isShown);
    expect(credential.key === 'anonymous').toBe(!isShown);
    expect(credential.mayBeAsked).toBe(false);
  });

  test('without credentials may be asked for some', () => {
    expect(
      callers.of({ form: 'ns', authorization: undefined }, origins.get(parseRegistry('quay.io'))).credential,
    ).toEqual({ key: 'anonymous', authorization: undefined, mayBeAsked: true });
  });

  test('is known by a name that is equal for equal credentials and keys only, and does not show them', () => {
    const other = Authorization.basic({ username: 'u', password: 'q' });
    const name = callerOf('ns', 'quay.io').credential.key;
    expect(callerOf('path', 'ghcr.io', Authorization.parse([secret.header])).credential.key).toBe(name);
    expect(callerOf('ns', 'quay.io', other).credential.key).not.toBe(name);
    expect(new Callers(Buffer.alloc(32, 2)).credential(secret).key).not.toBe(name);
    expect(new Callers(Buffer.alloc(32, 1)).credential(secret).key).toBe(name);
    expect(name).toMatch(/^[\w-]{43}$/);
  });
});

describe('a caller that is refused for want of credentials', () => {
  const challenge = ['Bearer realm="https://quay.io/v2/auth"'];
  const refused = new OciError('UNAUTHORIZED', 'authentication is needed', { challenge, denied: true });
  test('with ns is told what the origin says', () => {
    expect(answerFor(nobody('ns'), 'blob', refused)).toBe(refused);
  });

  test.each(['path', 'default'] as const)('of the form %s is asked for a password', (form) => {
    const answer = answerFor(nobody(form), 'blob', refused);
    expect([answer.code, answer.challenge, answer.denied]).toEqual(['UNAUTHORIZED', ['Basic realm="circ"'], true]);
  });

  test('though it has sent some that were not used hears that there is nothing', () => {
    const answer = answerFor(callerOf('path', 'docker.io'), 'blob', refused);
    expect([answer.code, answer.challenge, answer.denied]).toEqual(['BLOB_UNKNOWN', undefined, true]);
    expect(answerFor(callerOf('path', 'docker.io'), 'manifest', refused).code).toBe('MANIFEST_UNKNOWN');
  });

  test('of another error is told that error', () => {
    const error = new OciError('UNAVAILABLE', 'x');
    expect(answerFor(callerOf('path', 'docker.io'), 'blob', error)).toBe(error);
  });
});
