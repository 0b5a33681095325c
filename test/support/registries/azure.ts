import type { AccessOptions } from '../origin-access.ts';
import { startBlobStore } from '../origin-blob-store.ts';
import { startOrigin } from '../origin.ts';
import { ADDRESSES, type RegistryKind, type TestRegistry, assemble } from './registry.ts';

/**
 * A registry of Azure: POST with a password is 400, GET does; a login gives an identity token, which is a refresh token
 * by POST, and the password of a user of zeros by GET.
 */
export async function startAzure(access: AccessOptions = {}): Promise<TestRegistry> {
  return await assemble('team.azurecr.io', async (running) => {
    const ways = { auth: 'bearer', service: 'team.azurecr.io', tokenPath: '/oauth2/token' } as const;
    const origin = running.use(await startOrigin({ ...access, ...ways, concealsMissing: true }));
    Object.assign(origin.tokens.rules, {
      lifeSeconds: 4500,
      field: 'access_token',
      post: 'identity',
      expiresIn: 'missing',
    });
    const store = running.use(await startBlobStore(origin, { address: ADDRESSES.store, signed: true }));
    origin.when({ kind: 'blob', method: 'GET' }, { redirectTo: store });
    return { origin, store };
  });
}

export const azure: RegistryKind = { name: 'team.azurecr.io', hasPublic: true, user: 'pull-token', start: startAzure };
