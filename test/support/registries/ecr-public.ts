import type { AccessOptions } from '../origin-access.ts';
import { startBlobStore } from '../origin-blob-store.ts';
import type { Refusal } from '../origin-door.ts';
import { startOrigin } from '../origin.ts';
import { ADDRESSES, type RegistryKind, type TestRegistry, assemble } from './registry.ts';

const expired: Refusal = {
  status: 400,
  code: 'DENIED',
  message: 'Your authorization token has expired. Reauthenticate and try again.',
  challenge: 'none',
};

/**
 * The public gallery of AWS: one scope, `aws`, for everything; HEAD of a blob is always 401, with any token; a token
 * past its end is answered 400, and not challenged.
 */
export async function startEcrPublic(access: AccessOptions = {}): Promise<TestRegistry> {
  return await assemble('public.ecr.aws', async (running) => {
    const ways = { auth: 'bearer', service: 'public.ecr.aws', tokenPath: '/token/', scopeOf: () => 'aws' } as const;
    const origin = running.use(await startOrigin({ ...access, ...ways, refusals: { 'bad-credentials': expired } }));
    Object.assign(origin.tokens.rules, { wideScope: 'aws', field: 'token', post: 404 });
    const store = running.use(await startBlobStore(origin, { address: ADDRESSES.store, signed: true }));
    origin.when({ kind: 'blob', method: 'GET' }, { redirectTo: store });
    const headers = { 'www-authenticate': origin.challenge('any') };
    origin.when({ kind: 'blob', method: 'HEAD' }, { status: 401, headers });
    return { origin, store };
  });
}

export const ecrPublic: RegistryKind = {
  name: 'public.ecr.aws',
  hasPublic: true,
  user: undefined,
  start: startEcrPublic,
};
