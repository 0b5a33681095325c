import type { Descriptor } from '../../oci/descriptor.ts';
import type { Digest } from '../../oci/digest.ts';

/** `present`: was cached already. */
export type PreheatState = 'fetching' | 'present' | 'fetched' | 'failed';

/** A manifest or a blob of what is preheated. */
export interface PreheatObject extends Descriptor {
  readonly receivedBytes: number;
  readonly state: PreheatState;
  /** Why it failed, for people. */
  readonly error: string;
}

/** The state of all of it, and the objects that have changed since it was asked for last. */
export interface PreheatReport {
  readonly objects: number;
  readonly objectsDone: number;
  readonly objectsFailed: number;
  readonly bytes: number;
  readonly bytesDone: number;
  readonly bytesFetched: number;
  readonly changed: readonly PreheatObject[];
}

/** Objects that one report tells of; those that are left out are told of in the next one. */
const MAX_CHANGED = 200;

/** How far a preheating is. */
export class PreheatProgress {
  readonly #objects = new Map<Digest, PreheatObject>();
  readonly #changed = new Set<Digest>();
  #received: (digest: Digest) => number;

  /** @param received bytes that have arrived of what is being fetched */
  constructor(received: (digest: Digest) => number) {
    this.#received = received;
  }

  get count(): number {
    return this.#objects.size;
  }

  /** False for what is known of already. */
  add(descriptor: Descriptor): boolean {
    if (this.#objects.has(descriptor.digest)) return false;
    this.#objects.set(descriptor.digest, { ...descriptor, receivedBytes: 0, state: 'fetching', error: '' });
    return true;
  }

  /** @param sizeBytes what it is in truth, if that is known by now: manifests may lie */
  become(digest: Digest, state: PreheatState, { error = '', sizeBytes }: { error?: string; sizeBytes?: number } = {}) {
    const known = this.#objects.get(digest);
    if (!known) return;
    const size = sizeBytes ?? known.sizeBytes;
    const receivedBytes = state === 'failed' || state === 'fetching' ? known.receivedBytes : size;
    this.#objects.set(digest, { ...known, sizeBytes: size, receivedBytes, state, error });
    this.#changed.add(digest);
  }

  /** Is there something that the last report did not tell? */
  get isMoreToTell(): boolean {
    return this.#changed.size > 0;
  }

  report(): PreheatReport {
    let [objectsDone, objectsFailed, bytes, bytesDone, bytesFetched] = [0, 0, 0, 0, 0];
    for (const [digest, object] of this.#objects) {
      const { state, sizeBytes } = object;
      const receivedBytes = state === 'fetching' ? this.#received(digest) : object.receivedBytes;
      if (receivedBytes !== object.receivedBytes) {
        this.#objects.set(digest, { ...object, receivedBytes });
        this.#changed.add(digest);
      }
      bytes += sizeBytes;
      bytesDone += receivedBytes;
      if (state === 'present' || state === 'fetched') objectsDone += 1;
      if (state === 'failed') objectsFailed += 1;
      if (state !== 'present') bytesFetched += receivedBytes;
    }
    const digests = [...this.#changed].slice(0, MAX_CHANGED);
    for (const digest of digests) this.#changed.delete(digest);
    const changed = digests.flatMap((digest) => this.#objects.get(digest) ?? []);
    return { objects: this.#objects.size, objectsDone, objectsFailed, bytes, bytesDone, bytesFetched, changed };
  }
}
