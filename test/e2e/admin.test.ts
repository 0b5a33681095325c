import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { KubeApi } from '../../scripts/lab/kube-api.ts';
import { logsDir } from '../../scripts/lab/paths.ts';
import { formatAddress } from '../../service/units.ts';
import { generatedBlob } from '../support/blobs.ts';
import { REGISTRY, type House, startHouse } from '../support/house.ts';
import { type Ran, circctl } from '../support/run-circctl.ts';

const TIER = 'circ-tier';
const RBAC = '/apis/rbac.authorization.k8s.io/v1';
const apiGroup = 'rbac.authorization.k8s.io';
const IMAGE = `${REGISTRY}/org/app:v1`;

let kube: KubeApi;
let house: House;
let directory: string;
const stack = new AsyncDisposableStack();

/** Lets a ServiceAccount, or the shared tier itself, do what a ClusterRole says. */
async function bind(name: string, role: string, subject: object): Promise<void> {
  const roleRef = { apiGroup, kind: 'ClusterRole', name: role };
  await kube.create(`${RBAC}/clusterrolebindings`, { metadata: { name }, roleRef, subjects: [subject] });
}

/** A ServiceAccount that may call the admin service with these verbs. @returns the file with its token */
async function person(name: string, verbs: readonly string[], audience = 'circ'): Promise<string> {
  await kube.create('/api/v1/namespaces/ops/serviceaccounts', { metadata: { name } });
  if (verbs.length > 0) {
    const rules = [{ nonResourceURLs: ['/circ.v1.Admin/*'], verbs }];
    await kube.create(`${RBAC}/clusterroles`, { metadata: { name: `circ-${name}` }, rules });
    await bind(`circ-${name}`, `circ-${name}`, { kind: 'ServiceAccount', namespace: 'ops', name });
  }
  const spec = { audiences: [audience], expirationSeconds: 600 };
  const path = `/api/v1/namespaces/ops/serviceaccounts/${name}/token`;
  const { status } = await kube.create<{ status: { token: string } }>(path, { spec });
  const file = join(directory, `token-${name}`);
  await writeFile(file, status.token);
  return file;
}

async function as(tokenFile: string, ...args: string[]): Promise<Ran> {
  return await circctl(args, {
    env: { CIRC_SHARED_TIER: formatAddress(house.tierGrpc), CIRC_TIER_TOKEN_FILE: tokenFile },
  });
}

beforeAll(async () => {
  await mkdir(logsDir, { recursive: true });
  directory = await mkdtemp(join(tmpdir(), 'circ-e2e-'));
  stack.defer(async () => await rm(directory, { recursive: true }));
  kube = stack.use(await KubeApi.start({ directory, logs: await mkdtemp(join(logsDir, 'admin-')) }));
  await kube.create('/api/v1/namespaces', { metadata: { name: 'ops' } });
  await bind('circ-tier-delegator', 'system:auth-delegator', { apiGroup, kind: 'User', name: TIER });
  const kubeconfig = join(directory, 'kubeconfig');
  await writeFile(kubeconfig, await kube.pki.kubeconfig(kube.url, await kube.pki.issue('tier', `/CN=${TIER}`)));
  process.env['KUBECONFIG'] = kubeconfig;
  stack.defer(() => void delete process.env['KUBECONFIG']);
  house = stack.use(await startHouse({ tier: { CIRC_TIER_CLIENTS: 'tokenreview:circ:circ/agent' } }));
  await house.origin.addImage('org/app', 'v1', { layers: [generatedBlob(100_000)] });
}, 120_000);

afterAll(async () => await stack.disposeAsync());

describe('with a real Kubernetes API, circctl', () => {
  test('shows all, and changes nothing, for who may only get', async () => {
    const token = await person('viewer', ['get']);
    // A role is known to the authorizer a moment after it was written; a no is believed for 10 s.
    await expect.poll(async () => await as(token, 'status'), { timeout: 30_000 }).toMatchObject({ code: 0 });
    expect(await as(token, 'repos')).toMatchObject({ code: 0 });
    const evict = await as(token, 'evict', '--all', '--yes');
    expect(evict.code).toBe(1);
    expect(evict.err).toContain(
      'system:serviceaccount:ops:viewer may not do this; bind a ClusterRole with nonResourceURLs: ["/circ.v1.Admin/Evict"], verbs: ["post"]',
    );
    expect((await as(token, 'preheat', IMAGE)).code).toBe(1);
    expect(house.origin.requests).toEqual([]);
  });

  test('preheats and evicts for who may post as well', async () => {
    const token = await person('admin', ['get', 'post']);
    await expect.poll(async () => await as(token, 'preheat', IMAGE), { timeout: 30_000 }).toMatchObject({ code: 0 });
    expect((await as(token, 'evict', '--all', '--yes')).out).toContain('3 contents');
  });

  test.each([
    ['who has no right', [], 'circ', 'may not do this'],
    ['a token for another audience', ['get'], 'vault', 'the ServiceAccount token is not valid'],
  ])('is refused to %s', async (_name, verbs, audience, message) => {
    const token = await person(`stranger-${audience}`, verbs, audience);
    const { code, err } = await as(token, 'status');
    expect(code).toBe(1);
    expect(err).toContain(message);
  });
});
