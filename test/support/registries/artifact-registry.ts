import type { AccessOptions } from '../origin-access.ts';
import { startOrigin } from '../origin.ts';
import { type RegistryKind, type TestRegistry, assemble } from './registry.ts';

const NAME = 'europe-docker.pkg.dev';
const message =
  'Unauthenticated request. Unauthenticated requests do not have permission ' +
  '"artifactregistry.repositories.downloadArtifacts" on resource (or it may not exist)';

/**
 * Google's registry: no token for what is closed or not there, 403 "(or it may not exist)" instead; one scope too many
 * that it does not know, and the whole request is refused; it gives tokens by GET only.
 */
export async function startArtifactRegistry(access: AccessOptions = {}): Promise<TestRegistry> {
  return await assemble(NAME, async (running) => {
    const refusals = { 'no-access': { status: 403, code: 'DENIED', message, challenge: 'none' } } as const;
    const ways = { auth: 'bearer', service: NAME, tokenPath: '/v2/token', concealsMissing: true, refusals } as const;
    const origin = running.use(await startOrigin({ ...access, ...ways }));
    const rules = { onNoAccess: 403, unknownScope: 403, refusal: message, lifeSeconds: 3600, post: 404 } as const;
    Object.assign(origin.tokens.rules, rules);
    return { origin };
  });
}

export const artifactRegistry: RegistryKind = {
  name: NAME,
  hasPublic: true,
  user: 'oauth2accesstoken',
  start: startArtifactRegistry,
};
