import { MemoryLeaseApi } from '../../../shared-tier/leases/memory-lease-api.ts';
import { leaseApiContract } from '../../contracts/lease-api.ts';
import { leasesContract } from '../../contracts/leases.ts';

async function make() {
  const api = new MemoryLeaseApi();
  return { client: () => api, [Symbol.asyncDispose]: async () => undefined };
}

leaseApiContract('the memory of a process', make);
leasesContract('the memory of a process', { make, durationMs: 500 });
