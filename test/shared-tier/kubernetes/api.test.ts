import { AuthenticationV1Api } from '@kubernetes/client-node';
import { afterEach, describe, expect, test, vi } from 'vitest';
import { KubernetesApi } from '../../../shared-tier/kubernetes/api.ts';
import { apiIdentity, testKubernetesApi } from '../../support/kubernetes-api.ts';

afterEach(() => void vi.unstubAllEnvs());

async function review(client: AuthenticationV1Api, token: string): Promise<unknown> {
  return (await client.createTokenReview({ body: { spec: { token } } })).status?.error;
}

describe('KubernetesApi', () => {
  test('asks again over the connections it has', async () => {
    await using server = await testKubernetesApi();
    await using api = new KubernetesApi();
    api.loadFromString(server.kubeconfig);
    const client = api.makeApiClient(AuthenticationV1Api);
    for (let time = 0; time < 20; time += 1) await review(client, 'x');
    await review(api.makeApiClient(AuthenticationV1Api), 'x');
    expect(server.reviews).toHaveLength(21);
    expect(server.connections).toBeLessThanOrEqual(2); // the second when the first has not quite ended its answer
  });

  test('follows a change of the CA it trusts', async () => {
    await using old = await testKubernetesApi(apiIdentity());
    await using server = await testKubernetesApi();
    await using api = new KubernetesApi();
    api.loadFromString(old.kubeconfig);
    await review(api.makeApiClient(AuthenticationV1Api), 'x');
    api.loadFromString(server.kubeconfig);
    await review(api.makeApiClient(AuthenticationV1Api), 'x');
    expect([old.reviews.length, server.reviews.length]).toEqual([1, 1]);
  });

  test('does not believe a server of another CA', async () => {
    await using server = await testKubernetesApi();
    await using other = await testKubernetesApi(apiIdentity());
    await using api = new KubernetesApi();
    api.loadFromString(other.kubeconfig);
    const cluster = api.getCurrentCluster();
    api.loadFromString(server.kubeconfig);
    api.clusters = api.clusters.map((each) => ({ ...each, caData: cluster?.caData ?? '' }));
    await expect(review(api.makeApiClient(AuthenticationV1Api), 'x')).rejects.toThrow('fetch failed');
    expect(server.reviews).toHaveLength(0);
  });

  test('is where KUBECONFIG says', async () => {
    await using server = await testKubernetesApi();
    await using file = await server.kubeconfigFile();
    vi.stubEnv('KUBECONFIG', file.path);
    await using api = KubernetesApi.fromDefault();
    await review(api.makeApiClient(AuthenticationV1Api), 'x');
    expect(server.reviews).toHaveLength(1);
  });

  test('says so when there is none', () => {
    vi.stubEnv('KUBECONFIG', undefined);
    vi.stubEnv('HOME', '/nonexistent');
    expect(() => KubernetesApi.fromDefault()).toThrow('no Kubernetes API is configured');
  });
});
