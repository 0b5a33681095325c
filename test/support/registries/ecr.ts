import type { AccessOptions } from '../origin-access.ts';
import { startBlobStore } from '../origin-blob-store.ts';
import type { Refusal } from '../origin-door.ts';
import { startOrigin } from '../origin.ts';
import { ADDRESSES, type RegistryKind, type TestRegistry, assemble } from './registry.ts';

const NAME = '123456789012.dkr.ecr.eu-central-1.amazonaws.com';
const expired: Refusal = {
  status: 403,
  code: 'DENIED',
  message: 'Your authorization token has expired. Reauthenticate and try again.',
  challenge: 'none',
};

/**
 * A private registry of AWS: Basic, the user is always AWS, and nothing is public; GET of a manifest tells no digest,
 * HEAD does; GET of a blob leads to S3, which answers 400 to who shows it the credentials as well.
 */
export async function startEcr(access: AccessOptions = {}): Promise<TestRegistry> {
  return await assemble(NAME, async (running) => {
    const ways = { auth: 'basic', basicRealm: `https://${NAME}/`, service: 'ecr.amazonaws.com' } as const;
    const origin = running.use(await startOrigin({ ...access, ...ways, refusals: { 'bad-credentials': expired } }));
    const store = running.use(await startBlobStore(origin, { address: ADDRESSES.store, signed: true }));
    origin.when({ kind: 'blob', method: 'GET' }, { redirectTo: store });
    origin.when({ kind: 'manifest', method: 'GET' }, { digestHeader: 'none' });
    return { origin, store };
  });
}

export const ecr: RegistryKind = { name: NAME, hasPublic: false, user: 'AWS', start: startEcr };
