import type { AccessOptions } from '../origin-access.ts';
import { startBlobStore } from '../origin-blob-store.ts';
import { startOrigin } from '../origin.ts';
import { ADDRESSES, type RegistryKind, type TestRegistry, assemble } from './registry.ts';

/**
 * GitHub's registry: who may not read gets no token at all, 403 instead, and so does who asks for a scope it does not
 * know; a token that does not fit is answered 403 without a challenge; manifests only to who accepts their very type;
 * blobs are behind URLs that are good for GET only.
 */
export async function startGhcr(access: AccessOptions = {}): Promise<TestRegistry> {
  return await assemble('ghcr.io', async (running) => {
    const refusals = { 'no-access': { status: 403, code: 'DENIED', challenge: 'none' } } as const;
    const options = { ...access, auth: 'bearer', service: 'ghcr.io', concealsMissing: true, refusals } as const;
    const origin = running.use(await startOrigin(options));
    Object.assign(origin.tokens.rules, { onNoAccess: 403, unknownScope: 403, post: 404, field: 'token' });
    const store = running.use(await startBlobStore(origin, { address: ADDRESSES.store, signed: true }));
    origin.when({ kind: 'blob' }, { redirectTo: store });
    origin.when({ kind: 'manifest' }, { strictAccept: true });
    return { origin, store };
  });
}

export const ghcr: RegistryKind = { name: 'ghcr.io', hasPublic: true, user: 'octocat', start: startGhcr };
