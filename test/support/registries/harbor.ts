import type { AccessOptions } from '../origin-access.ts';
import type { Refusal } from '../origin-door.ts';
import { startOrigin } from '../origin.ts';
import { type RegistryKind, type TestRegistry, assemble } from './registry.ts';

const refusal: Refusal = { status: 401, code: 'UNAUTHORIZED', challenge: 'bare' };

/** Harbor: 401 first, for public projects too; its service has one name wherever it runs; it serves blobs itself. */
export async function startHarbor(access: AccessOptions = {}): Promise<TestRegistry> {
  return await assemble('harbor.test', async (running) => {
    const refusals = { 'no-credentials': refusal, 'bad-credentials': refusal, 'no-access': refusal };
    const ways = { auth: 'bearer', service: 'harbor-registry', tokenPath: '/service/token', refusals } as const;
    const origin = running.use(await startOrigin({ ...access, ...ways, concealsMissing: true }));
    Object.assign(origin.tokens.rules, { lifeSeconds: 1800, post: 404 });
    return { origin };
  });
}

export const harbor: RegistryKind = { name: 'harbor.test', hasPublic: true, user: 'robot$ci', start: startHarbor };
