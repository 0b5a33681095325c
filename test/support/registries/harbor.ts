import type { AccessOptions } from '../origin-access.ts';
import type { Refusal } from '../origin-door.ts';
import { startOrigin } from '../origin.ts';
import { type RegistryKind, type TestRegistry, assemble } from './registry.ts';

const unauthorized = { status: 401, code: 'UNAUTHORIZED' } as const;
const bare: Refusal = { ...unauthorized, challenge: 'bare' };
const refused: Refusal = { ...unauthorized, challenge: 'basic' };

/**
 * Harbor, as 2.15 was seen to be: 401 first, for public projects too; its service has one name wherever it runs; who is
 * wrong gets a token that opens nothing, and a challenge for a password where that is refused; it serves blobs itself.
 */
export async function startHarbor(access: AccessOptions = {}): Promise<TestRegistry> {
  return await assemble('harbor.test', async (running) => {
    const refusals = { 'no-credentials': bare, 'bad-credentials': refused, 'no-access': refused };
    const ways = { auth: 'bearer', service: 'harbor-registry', tokenPath: '/service/token', refusals } as const;
    const origin = running.use(await startOrigin({ ...access, ...ways, basicRealm: 'harbor' }));
    Object.assign(origin.tokens.rules, { lifeSeconds: 1800, post: 405, onWrongLogin: 'empty-token' });
    return { origin };
  });
}

export const harbor: RegistryKind = { name: 'harbor.test', hasPublic: true, user: 'robot$ci', start: startHarbor };
