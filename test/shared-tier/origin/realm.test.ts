import { expect, test } from 'vitest';
import { parseRegistry } from '../../../oci/reference.ts';
import { parseOriginsFile } from '../../../service/origins-file.ts';
import { Origins } from '../../../shared-tier/origin/origin.ts';
import { isRealmOf } from '../../../shared-tier/origin/realm.ts';

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
  return isRealmOf(origins.get(parseRegistry(registry)), new URL(realm));
}

test.each([
  ['docker.io', 'https://auth.docker.io/token'],
  ['quay.io', 'https://quay.io/v2/auth'],
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
  ['quay.io', 'https://127.0.0.1/token'],
  ['quay.io', 'https://169.254.169.254/latest/meta-data'],
  ['quay.io', 'ftp://quay.io/token'],
  ['quay.io', 'file:///etc/passwd'],
  ['a.example.co.uk', 'https://b.other.co.uk/token'],
  ['alice.github.io', 'https://mallory.github.io/token'],
  ['lab.test', 'http://127.0.0.1:5001/token'],
  ['lab.test', 'http://auth.lab/token'],
  ['tls.test', 'http://10.0.0.5:5000/token'],
  ['tls.test', 'https://10.0.0.6:5000/token'],
  ['tls.test', 'http://auth.lab/token'],
])('a token for %s may not come from %s', (registry, realm) => {
  expect(isRealm(registry, realm)).toBe(false);
});
