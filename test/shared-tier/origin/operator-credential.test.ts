import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { parseRegistry } from '../../../oci/reference.ts';
import { parseOriginsFile } from '../../../service/origins-file.ts';
import { OperatorCredential, readCredentials } from '../../../shared-tier/origin/operator-credential.ts';
import { Origins } from '../../../shared-tier/origin/origin.ts';
import { tmpDir } from '../../support/tmp-dir.ts';

const origins = new Origins(
  parseOriginsFile('registries:\n  registry.lab:\n    endpoint: http://127.0.0.1:5000\n  docker.io: {}\n'),
);
const lab = origins.get(parseRegistry('registry.lab'));
const hub = origins.get(parseRegistry('docker.io'));
const auth = Buffer.from('u:p:q').toString('base64');

async function fileOf(text: string) {
  const directory = await tmpDir();
  const path = join(directory.path, 'credentials.json');
  await writeFile(path, text);
  return { path, [Symbol.asyncDispose]: () => directory[Symbol.asyncDispose]() };
}

describe('the credentials of the operator', () => {
  test.each([
    ['a document', lab, { username: 'u', password: 'p:q' }],
    ['the registry’s entry', lab, { auths: { other: { auth: 'eDp5' }, 'registry.lab': { auth } } }],
    ['the endpoint’s entry', lab, { auths: { '127.0.0.1:5000': { auth } } }],
    ['an entry with https', lab, { auths: { 'https://registry.lab': { username: 'u', password: 'p:q' } } }],
    ['Docker Hub’s entry', hub, { auths: { 'https://index.docker.io/v1/': { auth } } }],
  ])('are read from %s', async (_name, origin, document) => {
    await using file = await fileOf(JSON.stringify(document));
    expect(readCredentials(file.path, origin)).toEqual({ username: 'u', password: 'p:q' });
  });

  test('may be an identity token', async () => {
    await using file = await fileOf(JSON.stringify({ auths: { 'registry.lab': { auth, identitytoken: 'id' } } }));
    expect(readCredentials(file.path, lab)).toEqual({ username: '<token>', password: 'id' });
  });

  test.each([
    'top-secret',
    '"top-secret"',
    '[]',
    'null',
    '{}',
    '{"username":"top-secret"}',
    '{"auths":{"elsewhere":{"auth":"dG9wLXNlY3JldDp4"}}}',
    '{"auths":{"registry.lab":{"auth":"no colon"}}}',
    '{"auths":{"registry.lab":{}}}',
  ])('are not in %s, and what it says is told nobody', async (text) => {
    await using file = await fileOf(text);
    expect(() => readCredentials(file.path, lab)).toThrow(/^expected a file with/);
    expect(() => readCredentials(file.path, lab)).not.toThrow(/top-secret/);
  });

  test('are read again when the file has changed, and stay as they were when it cannot be read', async () => {
    await using file = await fileOf(JSON.stringify({ username: 'u', password: '1' }));
    const failures: unknown[] = [];
    const operator = new OperatorCredential(file.path, lab, (error) => failures.push(error));
    const first = operator.credential();
    expect([first?.authorization?.basic?.password, operator.credential()]).toEqual(['1', first]);
    await writeFile(file.path, JSON.stringify({ username: 'u', password: 'two' }));
    const second = operator.credential();
    expect(second?.authorization?.basic?.password).toBe('two');
    expect(second?.key).not.toBe(first?.key);
    await writeFile(file.path, '{"torn');
    expect([operator.credential(), failures.length]).toEqual([second, 1]);
  });
});
