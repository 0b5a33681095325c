import type { AccessOptions } from '../origin-access.ts';
import { startOrigin } from '../origin.ts';
import { type RegistryKind, type TestRegistry, assemble } from './registry.ts';

/** NVIDIA's registry: challenges name no service; tokens live ten minutes; the user is always `$oauthtoken`. */
export async function startNvcr(access: AccessOptions = {}): Promise<TestRegistry> {
  return await assemble('nvcr.io', async (running) => {
    const ways = { auth: 'bearer', service: null, tokenPath: '/proxy_auth', concealsMissing: true } as const;
    const origin = running.use(await startOrigin({ ...access, ...ways }));
    Object.assign(origin.tokens.rules, { lifeSeconds: 600, field: 'token', post: 404 });
    return { origin };
  });
}

export const nvcr: RegistryKind = { name: 'nvcr.io', hasPublic: true, user: '$oauthtoken', start: startNvcr };
