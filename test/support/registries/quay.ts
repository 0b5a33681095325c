import type { AccessOptions } from '../origin-access.ts';
import { startBlobStore } from '../origin-blob-store.ts';
import type { Refusal } from '../origin-door.ts';
import { startOrigin } from '../origin.ts';
import { ADDRESSES, type RegistryKind, type TestRegistry, assemble } from './registry.ts';

const message = 'access to the requested resource is not authorized';
const refusal: Refusal = { status: 401, code: 'UNAUTHORIZED', message, challenge: 'bare' };

/**
 * Quay: everybody gets a token, good for nothing if he may not read, and then 401 with the challenge of a bare request,
 * without `error`, whatever was wrong; HEAD of a blob is answered by the registry itself, GET redirected.
 */
export async function startQuay(access: AccessOptions = {}): Promise<TestRegistry> {
  return await assemble('quay.io', async (running) => {
    const refusals = { 'no-credentials': refusal, 'bad-credentials': refusal, 'no-access': refusal };
    const ways = {
      auth: 'bearer',
      service: 'quay.io',
      tokenPath: '/v2/auth',
      concealsMissing: true,
      refusals,
    } as const;
    const origin = running.use(await startOrigin({ ...access, ...ways }));
    Object.assign(origin.tokens.rules, { lifeSeconds: 3600, field: 'token', expiresIn: 'missing', post: 404 });
    const store = running.use(await startBlobStore(origin, { address: ADDRESSES.store, signed: true }));
    origin.when({ kind: 'blob', method: 'GET' }, { redirectTo: store, redirectStatus: 302 });
    return { origin, store };
  });
}

export const quay: RegistryKind = { name: 'quay.io', hasPublic: true, user: 'team+robot', start: startQuay };
