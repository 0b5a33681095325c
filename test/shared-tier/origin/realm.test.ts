import { describe, expect, test } from 'vitest';
import { parseRegistry } from '../../../oci/reference.ts';
import { parseOriginsFile } from '../../../service/origins-file.ts';
import { Origins } from '../../../shared-tier/origin/origin.ts';
import { isRelayable, realmOf } from '../../../shared-tier/origin/realm.ts';

const origins = new Origins(
  parseOriginsFile(
    JSON.stringify({
      registries: {
        'lab.test': { endpoint: 'http://127.0.0.1:5000', tokenHosts: ['auth.lab:8080', 'any.lab'] },
        'tls.test': { endpoint: 'https://10.0.0.5:5000', tokenHosts: ['auth.lab'] },
      },
    }),
  ),
);

function isRealm(registry: string, realm: string): boolean {
  const challenge = { scheme: 'bearer', parameters: new Map([['realm', realm]]) };
  return realmOf(origins.get(parseRegistry(registry)), challenge) !== undefined;
}

test.each([
  ['docker.io', 'https://auth.docker.io/token'],
  ['quay.io', 'https://quay.io/v2/auth'],
  ['quay.io', 'https://quay.io:443/v2/auth'],
  ['quay.io', 'https://QUAY.io/v2/auth?a=b&c=d'],
  ['quay.io', 'https://quay.io'],
  ['registry.gitlab.com', 'https://gitlab.com/jwt/auth'],
  ['a.example.co.uk', 'https://login.example.co.uk/token'],
  ['lab.test', 'http://127.0.0.1:5000/token'],
  ['lab.test', 'http://auth.lab:8080/token'],
  ['lab.test', 'https://any.lab:444/token'],
  ['tls.test', 'https://10.0.0.5:5000/token'],
  ['tls.test', 'https://auth.lab/token'],
])('a token for %s may come from %s', (registry, realm) => {
  expect(isRealm(registry, realm)).toBe(true);
});

test.each([
  ['quay.io', 'https://auth.docker.io/token'],
  ['quay.io', 'https://evilquay.io/token'],
  ['quay.io', 'https://quay.io.evil.example/token'],
  ['quay.io', 'http://quay.io/token'],
  ['quay.io', 'https://user@quay.io/token'],
  ['quay.io', 'https://user:secret@quay.io/token'],
  ['quay.io', 'https://evil.example\\@quay.io/token'],
  ['quay.io', 'https://evil.example#@quay.io/token'],
  ['quay.io', 'https://quay.io#.evil.example/token'],
  ['quay.io', 'https:quay.io/token'],
  ['quay.io', 'https:///quay.io/token'],
  ['quay.io', '//quay.io/token'],
  ['quay.io', '/token'],
  ['quay.io', ' https://quay.io/token'],
  ['quay.io', 'https://quay.io/to ken'],
  ['quay.io', 'https://%71uay.io/token'],
  ['quay.io', 'https://quay.io./token'],
  ['quay.io', 'https://ｑuay.io/token'],
  ['quay.io', 'https://quay.io:99999/token'],
  ['quay.io', 'https://127.0.0.1/token'],
  ['quay.io', 'https://169.254.169.254/latest/meta-data'],
  ['quay.io', 'ftp://quay.io/token'],
  ['quay.io', 'file:///etc/passwd'],
  ['quay.io', ''],
  ['a.example.co.uk', 'https://b.other.co.uk/token'],
  ['alice.github.io', 'https://mallory.github.io/token'],
  ['lab.test', 'http://127.0.0.1:5001/token'],
  ['lab.test', 'http://0x7f000001:5000/token'],
  ['lab.test', 'http://2130706433:5000/token'],
  ['lab.test', 'http://auth.lab/token'],
  ['tls.test', 'http://10.0.0.5:5000/token'],
  ['tls.test', 'https://10.0.0.6:5000/token'],
  ['tls.test', 'http://auth.lab/token'],
])('a token for %s may not come from %j', (registry, realm) => {
  expect(isRealm(registry, realm)).toBe(false);
});

describe('a challenge', () => {
  const quay = origins.get(parseRegistry('quay.io'));

  test.each([
    ['Bearer realm="https://quay.io/v2/auth",service="quay.io"'],
    ['Basic realm="https://evil.example/"'],
    ['Bearer realm="https://quay.io/v2/auth"', 'Basic realm="quay"'],
    ['Negotiate', 'Basic realm="quay"'],
  ])('is passed on: %j', (...lines) => {
    expect(isRelayable(quay, lines)).toBe(true);
  });

  test.each([
    [],
    ['Negotiate'],
    ['Bearer service="quay.io"'],
    ['Bearer realm="https://evil.example/token"'],
    ['Bearer realm="https://quay.io/v2/auth"', 'Bearer realm="https://evil.example/token"'],
    ['Bearer realm="https://quay.io/v2/auth", Bearer realm="https://evil.example/token"'],
    ['Bearer realm="https://quay.io/v2/auth", realm="https://evil.example/token"'],
    ['Basic realm="quay", Bearer realm="https://evil.example/token"'],
    ['Bearer realm="https://quay.io/v2/auth" Bearer realm="https://evil.example/token"'],
  ])('is not passed on: %j', (...lines) => {
    expect(isRelayable(quay, lines)).toBe(false);
  });
});
