import type { AccessOptions } from '../origin-access.ts';
import { startBlobStore } from '../origin-blob-store.ts';
import { PullLimit } from '../origin-limit.ts';
import { startOrigin } from '../origin.ts';
import { startTokenServer } from '../token-server.ts';
import { ADDRESSES, type TestRegistry, assemble, type RegistryKind } from './registry.ts';

/** The registry, and what it counts. */
export type DockerHub = TestRegistry & { readonly limit: PullLimit };

/**
 * Docker Hub: a token for everything, public images too, from a host of another name; pulls are counted by GET of
 * manifests, over the limit 429; blobs are at a third host.
 * @see https://docs.docker.com/docker-hub/usage/pulls/
 */
export async function startDockerHub(access: AccessOptions = {}): Promise<DockerHub> {
  const limit = new PullLimit();
  const registry = await assemble('docker.io', async (running) => {
    const tokenServer = running.use(await startTokenServer(access, { address: ADDRESSES.tokens }));
    const options = { auth: 'bearer', tokenServer, service: 'registry.docker.io', limit } as const;
    const origin = running.use(await startOrigin({ ...options, concealsMissing: true }));
    const store = running.use(await startBlobStore(origin, { address: ADDRESSES.store }));
    origin.when({ kind: 'blob' }, { redirectTo: store });
    return { origin, tokenServer, store };
  });
  return Object.assign(registry, { limit });
}

export const dockerHub: RegistryKind = { name: 'docker.io', hasPublic: true, user: 'alice', start: startDockerHub };
