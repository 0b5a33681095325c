import type { AccessOptions } from '../origin-access.ts';
import { startBlobStore } from '../origin-blob-store.ts';
import { startOrigin } from '../origin.ts';
import { startTokenServer } from '../token-server.ts';
import { ADDRESSES, type RegistryKind, type TestRegistry, assemble } from './registry.ts';

/**
 * GitLab: tokens come from the main site, for a quarter of an hour; blobs are at presigned URLs, HEAD is sent there as
 * well and answered 403.
 */
export async function startGitlab(access: AccessOptions = {}): Promise<TestRegistry> {
  return await assemble('registry.gitlab.com', async (running) => {
    const at = { address: ADDRESSES.tokens, tokenPath: '/jwt/auth' };
    const tokenServer = running.use(await startTokenServer(access, at));
    Object.assign(tokenServer.authority.rules, { lifeSeconds: 900, field: 'token', post: 404 });
    const options = { auth: 'bearer', tokenServer, service: 'container_registry', concealsMissing: true } as const;
    const origin = running.use(await startOrigin(options));
    const store = running.use(await startBlobStore(origin, { address: ADDRESSES.store, signed: true }));
    origin.when({ kind: 'blob' }, { redirectTo: store });
    return { origin, tokenServer, store };
  });
}

export const gitlab: RegistryKind = {
  name: 'registry.gitlab.com',
  hasPublic: true,
  user: 'deploy',
  start: startGitlab,
};
