import type { ContentStore } from '../../content/store.ts';
import type { Authorization } from '../../oci/authorization.ts';
import { type Descriptor, type ManifestLinks, OCI_INDEX, parseManifestLinks } from '../../oci/descriptor.ts';
import type { Digest } from '../../oci/digest.ts';
import { OciError } from '../../oci/error.ts';
import type { ImageName } from '../../oci/image-name.ts';
import type { Reference } from '../../oci/reference.ts';
import type { Access, Question } from '../access/access.ts';
import type { Fetch } from '../fetch.ts';
import type { Fetches } from '../fetches.ts';
import type { Images, ResolvedManifest } from '../images.ts';
import { listFor } from '../lists.ts';
import { type Platform, manifestsFor } from './platforms.ts';
import { PreheatProgress } from './preheat-progress.ts';

export interface PreheatsOptions {
  readonly access: Access;
  readonly images: Images;
  readonly fetches: Fetches;
  readonly store: ContentStore;
}

/** What is to be cached. */
export interface PreheatOrder {
  readonly image: ImageName;
  /** Empty: all of them. */
  readonly platforms: readonly Platform[];
  /** With what the origin is asked; undefined: anonymously. */
  readonly authorization: Authorization | undefined;
  /** Objects at once. */
  readonly parallelism: number;
  /** Also what refers to its manifests, and to those. */
  readonly withReferrers: boolean;
}

const PREHEATS_AT_ONCE = 8;
/** Manifests and blobs of one order: several times the largest index that anybody has built. */
const MAX_OBJECTS = 20_000;
/** Pages of one list of referrers; larger ones are cut off. */
const MAX_PAGES = 100;
const NO_GRANT = new Uint8Array();
const NO_ROOM = new OciError('UNAVAILABLE', 'the cache has no room for it');

/**
 * Brings what is at an origin into the cache, by asking the same questions that a pull asks: `Images` proves, fetches once
 * and records, so that nothing gets in here in another way, and nothing is readable by others than after a pull.
 */
export class Preheats {
  readonly #options: PreheatsOptions;
  #running = 0;

  constructor(options: PreheatsOptions) {
    this.#options = options;
  }

  /**
   * Begins one: the image's own manifest is there when this returns.
   *
   * @returns its progress, and what settles when nothing more is tried; it fails only when the signal ends it
   * @throws OciError what the origin answers to the first question, and MANIFEST_UNKNOWN when no platform was found
   */
  async start(order: PreheatOrder, signal: AbortSignal): Promise<{ progress: PreheatProgress; ended: Promise<void> }> {
    if (this.#running >= PREHEATS_AT_ONCE) throw new OciError('UNAVAILABLE', 'too much is being preheated; try again');
    this.#running += 1;
    const { registry } = order.image;
    const progress = new PreheatProgress((digest) => this.#received(registry, digest));
    try {
      const run = new Preheating(this.#options, order, progress, signal);
      const children = await run.begin();
      const ended = run.finish(children).finally(() => (this.#running -= 1));
      return { progress, ended };
    } catch (error) {
      this.#running -= 1;
      throw error;
    }
  }

  #received(registry: ImageName['registry'], digest: Digest): number {
    const ingest = this.#options.fetches.find({ registry }, digest)?.progress.ingest;
    if (!ingest) return 0;
    const gaps = ingest.gaps({ start: 0, end: ingest.sizeBytes });
    return gaps.reduce((left, { start, end }) => left - (end - start), ingest.sizeBytes);
  }
}

/** A manifest that is there, and what it names. */
interface Taken extends ManifestLinks {
  readonly descriptor: Descriptor;
}

/** One order under way. */
class Preheating {
  readonly #options: PreheatsOptions;
  readonly #order: PreheatOrder;
  readonly #question: Question;
  readonly #progress: PreheatProgress;
  readonly #signal: AbortSignal;

  constructor(options: PreheatsOptions, order: PreheatOrder, progress: PreheatProgress, signal: AbortSignal) {
    const { authorization, image } = order;
    this.#options = options;
    this.#order = order;
    this.#progress = progress;
    this.#signal = signal;
    // The registry was named together with the credentials, as in the `ns` form: these are for it.
    this.#question = { place: image, asker: { form: 'ns', authorization }, grant: NO_GRANT };
  }

  async begin(): Promise<Taken> {
    const resolved = await this.#resolve(this.#order.image.reference);
    this.#progress.add(resolved.descriptor);
    return await this.#taken(resolved, this.#order.platforms);
  }

  /** All manifests first, because they tell how much there is. */
  async finish(root: Taken): Promise<void> {
    const blobs = new Map<Digest, Descriptor>();
    let level: readonly Taken[] = [root];
    while (level.length > 0) {
      for (const blob of level.flatMap((links) => links.blobs)) if (this.#isNew(blob)) blobs.set(blob.digest, blob);
      const subjects = this.#order.withReferrers ? level.map(({ descriptor }) => descriptor) : [];
      const referring = await this.#each(subjects, (subject) => this.#referrers(subject));
      const linked = [...level.flatMap((links) => links.manifests), ...referring.flat()];
      level = await this.#each(
        linked.filter((each) => this.#isNew(each)),
        (manifest) => this.#manifest(manifest),
      );
    }
    await this.#each([...blobs.values()], (blob) => this.#blob(blob));
  }

  /** Some at once; what became of those that did not fail. */
  async #each<T>(objects: readonly Descriptor[], take: (object: Descriptor) => Promise<T>): Promise<T[]> {
    const taken: T[] = [];
    const rest = objects.values();
    const worker = async (): Promise<void> => {
      for (const object of rest) {
        this.#signal.throwIfAborted();
        try {
          taken.push(await take(object));
        } catch (reason) {
          this.#signal.throwIfAborted();
          this.#progress.become(object.digest, 'failed', { error: explain(OciError.from(reason)) });
        }
      }
    };
    await Promise.all(Array.from({ length: this.#order.parallelism }, worker));
    return taken;
  }

  #isNew(object: Descriptor): boolean {
    const isRoom = this.#progress.count < MAX_OBJECTS;
    if (!isRoom) throw new OciError('UNSUPPORTED', `the image has more than ${MAX_OBJECTS} objects`);
    return this.#progress.add(object);
  }

  /** @throws OciError what the registry says to a list of them */
  async #referrers({ digest: subject }: Descriptor): Promise<readonly Descriptor[]> {
    const { asker, place } = this.#question;
    const found: Descriptor[] = [];
    let query: URLSearchParams | undefined = new URLSearchParams();
    for (let page = 0; query && page < MAX_PAGES; page += 1) {
      const { content, next } = await listFor(this.#options.access, { asker, place, subject, query });
      found.push(...parseManifestLinks(content, OCI_INDEX).manifests);
      query = next === undefined ? undefined : new URLSearchParams(next);
    }
    return found;
  }

  async #manifest({ digest }: Descriptor): Promise<Taken> {
    return await this.#taken(await this.#resolve({ kind: 'digest', digest }), []);
  }

  async #resolve(reference: Reference): Promise<ResolvedManifest> {
    return await this.#options.images.resolve({ ...this.#question, reference, accept: [], withContent: true });
  }

  /** Notes that a manifest is there, and gives what it names. */
  async #taken({ descriptor, content, fromOrigin }: ResolvedManifest, platforms: readonly Platform[]): Promise<Taken> {
    const { digest, mediaType, sizeBytes } = descriptor;
    const bytes = content ?? new Uint8Array();
    const links = parseManifestLinks(bytes, mediaType);
    const manifests = manifestsFor(platforms, bytes, links.manifests);
    if (!(await this.#options.store.stat(digest))) throw NO_ROOM;
    this.#progress.become(digest, fromOrigin ? 'fetched' : 'present', { sizeBytes });
    return { ...links, manifests, descriptor };
  }

  async #blob({ digest }: Descriptor): Promise<void> {
    const { images, fetches } = this.#options;
    const question = { ...this.#question, digest };
    const { registry } = this.#order.image;
    const { fromOrigin, sizeBytes } = await images.locateBlob(question);
    this.#progress.become(digest, 'fetching', { sizeBytes });
    const fetch = fromOrigin ? fetches.find({ registry }, digest) : undefined;
    const failure = fetch && (await this.#arrival(fetch));
    if (!(await this.#options.store.stat(digest))) throw failure ?? NO_ROOM;
    this.#progress.become(digest, fromOrigin ? 'fetched' : 'present', { sizeBytes });
  }

  /** Reads along to the end, so that the fetch goes on. @returns why it did not come whole */
  async #arrival(fetch: Fetch): Promise<OciError | undefined> {
    const { place, digest, progress } = fetch;
    // Without an ingest it is passed through, and reading it would fetch it for nobody.
    if (!progress.ingest) return NO_ROOM;
    const ended = this.#options.fetches.ended(place.registry, digest);
    try {
      await using content = await fetch.follow();
      const { sizeBytes: end } = content;
      // The last byte comes when all others have, and are verified.
      const last = content.chunks({ start: Math.max(0, end - 1), end }, { signal: this.#signal });
      for await (const { release } of last) release();
    } catch (error) {
      this.#signal.throwIfAborted();
      return OciError.from(error);
    }
    return await ended;
  }
}

function explain({ code, denied, message }: OciError): string {
  if (denied || code === 'UNAUTHORIZED') return 'the registry does not give it to these credentials';
  if (code === 'BLOB_UNKNOWN' || code === 'MANIFEST_UNKNOWN') return 'the registry does not have it';
  return code === 'CORRUPT' ? 'the registry sent other bytes than the digest says' : message;
}
