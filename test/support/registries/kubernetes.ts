import { startBlobStore } from '../origin-blob-store.ts';
import { startOrigin } from '../origin.ts';
import { ADDRESSES, type RegistryKind, type TestRegistry, assemble } from './registry.ts';

const PREFIX = 'k8s-artifacts-prod/images/';

/**
 * registry.k8s.io: serves nothing itself and asks for nothing; manifests are at the regional registry, under another
 * path, blobs in a bucket, and HEAD is redirected like GET.
 * @see https://github.com/kubernetes/registry.k8s.io/blob/main/cmd/archeio/docs/request-handling.md
 */
export async function startKubernetes(): Promise<TestRegistry> {
  return await assemble('registry.k8s.io', async (running) => {
    const [origin, backend] = [await startOrigin(), await startOrigin({ address: ADDRESSES.backend })];
    running.use(origin);
    running.use(backend);
    const store = running.use(await startBlobStore(backend, { address: ADDRESSES.store }));
    const regional = { locate: (path: string) => backend.url + path.replace('/v2/', `/v2/${PREFIX}`) };
    origin.when({}, { redirectTo: regional });
    origin.when({ kind: 'blob' }, { redirectTo: store });
    return { origin, store, backend: { origin: backend, prefix: PREFIX } };
  });
}

export const kubernetes: RegistryKind = {
  name: 'registry.k8s.io',
  hasPublic: true,
  user: undefined,
  start: startKubernetes,
};
