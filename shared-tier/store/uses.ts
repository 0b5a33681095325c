import { randomUUID } from 'node:crypto';
import type { Digest } from '../../oci/digest.ts';
import { OciError } from '../../oci/error.ts';
import { every } from '../../service/every.ts';
import type { Bucket } from './bucket.ts';
import { keys } from './keys.ts';

export interface UsesOptions {
  readonly bucket: Bucket;
  readonly failed: (error: unknown) => void;
  /** How often what was used is written down; 5 minutes unless given. */
  readonly everyMs?: number;
}

/** What one replica has read within a few minutes: what the collector must not remove first. */
export interface UsesRecord {
  readonly usedAtMs: number;
  readonly digests: readonly string[];
}

const EVERY_MS = 5 * 60_000;
/** More contents than this within five minutes: then the others look older than they are. */
const MAX_USES = 100_000;

/** Notes what is read here, and writes it into the bucket now and then, as one object each time. */
export class Uses implements AsyncDisposable {
  readonly #options: UsesOptions;
  readonly #id = randomUUID();
  readonly #writing: Disposable;
  #noted = new Set<Digest>();
  #written = 0;

  constructor(options: UsesOptions) {
    this.#options = options;
    this.#writing = every(options.everyMs ?? EVERY_MS, () => this.write(), options.failed);
  }

  note(digest: Digest): void {
    if (this.#noted.size < MAX_USES) this.#noted.add(digest);
  }

  /** @throws OciError UNAVAILABLE */
  async write(): Promise<void> {
    if (this.#noted.size === 0) return;
    const record: UsesRecord = { usedAtMs: Date.now(), digests: [...this.#noted] };
    this.#noted = new Set();
    this.#written += 1;
    const key = `${keys.uses}${this.#id}-${this.#written}.json`;
    await this.#options.bucket.put(key, Buffer.from(JSON.stringify(record)));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#writing[Symbol.dispose]();
    await this.write().catch((error: unknown) => this.#options.failed(OciError.from(error)));
  }
}
