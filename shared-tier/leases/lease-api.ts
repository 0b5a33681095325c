/** Who holds a lease, and where what he fetches can be read while it arrives. */
export interface Holder {
  /** Of one replica; its next life may have the same. */
  readonly identity: string;
  /** `host:port` of its HTTP. */
  readonly address: string;
  /** Of the store that it will put the content in. */
  readonly storeId: string;
}

/** A lease as it was written by its holder. */
export interface LeaseRecord {
  readonly name: string;
  readonly holder: Holder;
  /** Without a renewal for so long it may be taken over. */
  readonly durationMs: number;
  /** Of this lease; one of the same name that is created later has another. */
  readonly uid: string;
  /** Another one after each write. */
  readonly version: string;
  /** When its holder got it, by the clock of whoever wrote it: for people only. */
  readonly acquiredAt: Date;
  /** How often it has changed hands. */
  readonly transitions: number;
}

/** What a holder writes. */
export type LeaseClaim = Pick<LeaseRecord, 'holder' | 'durationMs'>;

/**
 * A place where leases live. Its answers are facts: what it says was written is written, and nothing is written over what
 * the writer has not seen. When there is no answer, the write may or may not have happened.
 *
 * All of it throws OciError UNAVAILABLE when there is no usable answer within a second.
 */
export interface LeaseApi {
  /** Undefined when there is one of this name. */
  create(name: string, claim: LeaseClaim): Promise<LeaseRecord | undefined>;

  /** Undefined when there is none. */
  read(name: string): Promise<LeaseRecord | undefined>;

  /** Renews the lease, or takes it over. Undefined when it is not any more what `seen` says, or gone. */
  update(seen: LeaseRecord, claim: LeaseClaim): Promise<LeaseRecord | undefined>;

  /** False when it is not any more what `seen` says, or gone. */
  delete(seen: LeaseRecord): Promise<boolean>;

  /** All leases of circ. */
  list(): Promise<LeaseRecord[]>;
}
