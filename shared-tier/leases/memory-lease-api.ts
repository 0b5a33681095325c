import { randomUUID } from 'node:crypto';
import type { LeaseApi, LeaseClaim, LeaseRecord } from './lease-api.ts';

/** Leases of one process, for a shared tier that has no other replica. */
export class MemoryLeaseApi implements LeaseApi {
  readonly #records = new Map<string, LeaseRecord>();
  #writes = 0;

  async create(name: string, claim: LeaseClaim): Promise<LeaseRecord | undefined> {
    if (this.#records.has(name)) return undefined;
    return this.#write({ ...claim, name, uid: randomUUID(), acquiredAt: new Date(), transitions: 0 });
  }

  async read(name: string): Promise<LeaseRecord | undefined> {
    return this.#records.get(name);
  }

  async update(seen: LeaseRecord, claim: LeaseClaim): Promise<LeaseRecord | undefined> {
    if (!this.#is(seen)) return undefined;
    const isRenewal = claim.holder.identity === seen.holder.identity;
    const change = isRenewal ? {} : { acquiredAt: new Date(), transitions: seen.transitions + 1 };
    return this.#write({ ...seen, ...claim, ...change });
  }

  async delete(seen: LeaseRecord): Promise<boolean> {
    return this.#is(seen) && this.#records.delete(seen.name);
  }

  async list(): Promise<LeaseRecord[]> {
    return [...this.#records.values()];
  }

  #is({ name, version }: LeaseRecord): boolean {
    return this.#records.get(name)?.version === version;
  }

  #write(record: Omit<LeaseRecord, 'version'>): LeaseRecord {
    this.#writes += 1;
    const written = { ...record, version: String(this.#writes) };
    this.#records.set(record.name, written);
    return written;
  }
}
