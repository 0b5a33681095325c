import { startBlobStore } from '../origin-blob-store.ts';
import { startOrigin } from '../origin.ts';
import { ADDRESSES, type RegistryKind, type TestRegistry, assemble } from './registry.ts';

/** Microsoft's public registry: no token, no challenge; blobs are at its data host. */
export async function startMicrosoft(): Promise<TestRegistry> {
  return await assemble('mcr.microsoft.com', async (running) => {
    const origin = running.use(await startOrigin());
    const store = running.use(await startBlobStore(origin, { address: ADDRESSES.store }));
    origin.when({ kind: 'blob' }, { redirectTo: store });
    return { origin, store };
  });
}

export const microsoft: RegistryKind = {
  name: 'mcr.microsoft.com',
  hasPublic: true,
  user: undefined,
  start: startMicrosoft,
};
