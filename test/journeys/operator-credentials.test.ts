import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { generatedBlob } from '../support/blobs.ts';
import { basic } from '../support/containerd-auth.ts';
import { urlOf } from '../support/house-client.ts';
import { startHouse } from '../support/house.ts';
import { ask } from '../support/origin-client.ts';
import { startOrigin } from '../support/origin.ts';
import { tmpDir } from '../support/tmp-dir.ts';

const users = {
  operator: { password: 'of the operator', repositories: ['org/app', 'org/other'] },
  alice: { password: 'of alice', repositories: ['org/app'] },
};
const alice = { user: 'alice', password: users.alice.password };

async function housed() {
  const stack = new AsyncDisposableStack();
  const directory = stack.use(await tmpDir());
  const credentialsFile = join(directory.path, 'credentials.json');
  await writeFile(credentialsFile, JSON.stringify({ username: 'operator', password: users.operator.password }));
  const access = { privateRepositories: ['org/app', 'org/other'], users };
  const lab = stack.use(await startOrigin({ auth: 'bearer', ...access }));
  const { manifest, layers } = await lab.addImage('org/app', 'v1', { layers: [generatedBlob(1000, 1)] });
  const other = await lab.addImage('org/other', 'v1', { layers: [generatedBlob(1000, 2)] });
  const house = stack.use(
    await startHouse({ registries: { 'lab.test': { url: lab.url, entry: { credentialsFile } } } }),
  );
  const get = async (repository: string, kind: 'manifests' | 'blobs', reference: string, headers = {}) => {
    const place = { mirror: house.tierUrl, registry: 'lab.test', repository, path: true };
    return (await ask(urlOf(place, kind, reference), { headers })).status;
  };
  return {
    lab,
    house,
    credentialsFile,
    layer: layers[0]?.digest ?? '',
    digest: manifest.digest,
    otherLayer: other.layers[0]?.digest ?? '',
    get,
    as: { authorization: basic(alice) },
    [Symbol.asyncDispose]: () => stack.disposeAsync(),
  };
}

/** Who a request to the origin was signed by. */
function signers(lab: Awaited<ReturnType<typeof housed>>['lab'], method: string): unknown[] {
  return lab.requests
    .filter(({ kind, status, ...each }) => kind !== 'token' && status < 300 && each.method === method)
    .map(({ headers }) => lab.tokens.holderOf(headers.authorization?.replace('Bearer ', '') ?? ''));
}

test('the operator’s credentials fetch, and the caller’s own prove', async () => {
  await using it = await housed();
  expect(await it.get('org/app', 'manifests', 'v1', it.as)).toBe(200);
  expect(await it.get('org/app', 'blobs', it.layer, it.as)).toBe(200);
  expect(new Set(signers(it.lab, 'GET'))).toEqual(new Set([{ name: 'operator' }]));
  expect(new Set(signers(it.lab, 'HEAD'))).toEqual(new Set([{ name: 'alice' }]));
  expect(JSON.stringify(it.house.log)).not.toContain(users.operator.password);
});

test('what the operator may read is given to nobody who may not, cached or not', async () => {
  await using it = await housed();
  for (let round = 1; round <= 2; round += 1) {
    for (const [kind, reference] of [
      ['manifests', 'v1'],
      ['blobs', it.otherLayer],
    ] as const) {
      expect(await it.get('org/other', kind, reference, it.as)).toBe(404);
      expect(await it.get('org/other', kind, reference)).toBe(401);
      expect(await it.get('org/app', kind, reference)).toBe(401);
    }
    expect(await it.get('org/app', 'manifests', 'v1', it.as)).toBe(200);
    // A grant for one repository is none for what the operator would be given there out of another one.
    expect(await it.get('org/app', 'blobs', it.otherLayer, it.as)).toBe(404);
    const operator = { authorization: basic({ user: 'operator', password: users.operator.password }) };
    expect(await it.get('org/other', 'manifests', 'v1', operator)).toBe(200);
    expect(await it.get('org/other', 'blobs', it.otherLayer, operator)).toBe(200);
  }
});

test('the caller’s own credentials fetch when the operator’s are not taken', async () => {
  await using it = await housed();
  await writeFile(it.credentialsFile, JSON.stringify({ username: 'operator', password: 'an old one' }));
  expect(await it.get('org/app', 'manifests', 'v1', it.as)).toBe(200);
  expect(await it.get('org/app', 'blobs', it.layer, it.as)).toBe(200);
  expect(new Set(signers(it.lab, 'GET'))).toEqual(new Set([{ name: 'alice' }]));
});
