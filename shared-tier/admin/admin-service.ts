import { setTimeout as delay } from 'node:timers/promises';
import type { ServerUnaryCall, ServerWritableStream, sendUnaryData } from '@grpc/grpc-js';
import type { ContentStore } from '../../content/store.ts';
import { Authorization } from '../../oci/authorization.ts';
import { type Digest, isDigest, parseDigest } from '../../oci/digest.ts';
import { OciError } from '../../oci/error.ts';
import { formatImageName, parseImageName, parsePlace } from '../../oci/image-name.ts';
import type { RegistryNames } from '../../oci/request.ts';
import type { AdminHandlers } from '../../proto/generated/circ/v1/Admin.ts';
import type { EvictRequest__Output } from '../../proto/generated/circ/v1/EvictRequest.ts';
import type { GetStatsResponse } from '../../proto/generated/circ/v1/GetStatsResponse.ts';
import type { PreheatRequest__Output } from '../../proto/generated/circ/v1/PreheatRequest.ts';
import type { PreheatResponse } from '../../proto/generated/circ/v1/PreheatResponse.ts';
import type { VerifyResponse } from '../../proto/generated/circ/v1/VerifyResponse.ts';
import { toGrpcError } from '../../proto/status.ts';
import type { Fetches } from '../fetches.ts';
import { placeKey, placeOfKey } from '../records.ts';
import { AnswerStream } from './answer-stream.ts';
import { type EvictWhat, evict } from './evict.ts';
import { hungUp } from './hung-up.ts';
import type { Inventory } from './inventory.ts';
import { parsePlatforms } from './platforms.ts';
import type { Popularity } from './popularity.ts';
import type { Preheats } from './preheat.ts';
import type { PreheatReport, PreheatState } from './preheat-progress.ts';
import { verify } from './verify.ts';
import { watchFetches } from './watch-fetches.ts';

export interface AdminServiceOptions {
  readonly store: ContentStore;
  readonly inventory: Inventory;
  readonly fetches: Fetches;
  readonly preheats: Preheats;
  readonly popularity: Popularity;
  readonly names: RegistryNames;
  readonly stats: () => Promise<GetStatsResponse>;
  /** One call has ended; `subject` is what it was about. */
  readonly report: (method: string, subject: string, peer: string, error: OciError | undefined) => void;
}

const PAGE = 100;
const MAX_PAGE = 1_000;
const MAX_STREAMS = 32;
const PROGRESS_EVERY_MS = 250;
const PARALLELISM = 4;
const MAX_PARALLELISM = 16;
/** Digests that one answer of Verify names. */
const MAX_NAMED = 200;

/** `circ.v1.Admin`: proto on one side, what does it on the other. Who may call has been decided before. */
export class AdminService {
  readonly #options: AdminServiceOptions;
  #streams = 0;
  #isVerifying = false;

  constructor(options: AdminServiceOptions) {
    this.#options = options;
  }

  get handlers(): AdminHandlers {
    return {
      GetStats: this.#answer(
        'GetStats',
        () => '',
        async () => await this.#options.stats(),
      ),
      ListRepositories: this.#answer(
        'ListRepositories',
        () => '',
        async ({ pageSize, pageToken }) => {
          const { holdings, isIncomplete } = await this.#options.inventory.holdings();
          const size = sizeOfPage(pageSize);
          const behind = holdings.filter(({ place }) => place > pageToken);
          const page = behind.slice(0, size);
          const repositories = page.map(({ place, blobs, bytes }) => ({
            ...placeOfKey(place),
            blobs,
            bytes,
            pulls: Math.round(this.#options.popularity.of(place)),
          }));
          const next = behind.length > size ? (page.at(-1)?.place ?? '') : '';
          return { repositories, nextPageToken: next, incomplete: isIncomplete };
        },
      ),
      ListBlobs: this.#answer(
        'ListBlobs',
        ({ repository }) => repository,
        async ({ pageSize, pageToken, repository }) => {
          const place = repository === '' ? undefined : this.#placeOf(repository);
          const { rows, next } = await this.#options.inventory.page(sizeOfPage(pageSize), pageToken, place);
          return { blobs: rows.map(({ digest, sizeBytes }) => ({ digest, size: sizeBytes })), nextPageToken: next };
        },
      ),
      Evict: this.#answer('Evict', subjectOf, async (request, signal) => {
        return await evict(this.#options, this.#whatOf(request), { isDryRun: request.dryRun, signal });
      }),
      WatchFetches: this.#stream(
        'WatchFetches',
        () => '',
        async (_request, stream) => await watchFetches(this.#options.fetches, stream),
      ),
      Preheat: this.#stream(
        'Preheat',
        ({ image }) => image,
        async (request, stream) => await this.#preheat(request, stream),
      ),
      Verify: this.#stream(
        'Verify',
        () => '',
        async (_request, stream) => await this.#verify(stream),
      ),
    };
  }

  async #preheat(request: PreheatRequest__Output, stream: AnswerStream<PreheatResponse>): Promise<void> {
    const { image, platforms, authorization, parallelism, referrers } = request;
    if (parallelism > MAX_PARALLELISM) {
      throw new OciError('NAME_INVALID', `at most ${MAX_PARALLELISM} objects are fetched at once`);
    }
    const order = {
      image: parseImageName(image, this.#options.names),
      platforms: parsePlatforms(platforms),
      authorization: Authorization.parse(authorization === '' ? [] : [authorization]),
      parallelism: parallelism || PARALLELISM,
      withReferrers: referrers,
    };
    const { progress, ended } = await this.#options.preheats.start(order, stream.signal);
    const isOver = ended.then(() => true);
    isOver.catch(() => undefined); // awaited below, perhaps after the caller has gone
    for (let over = false; !over;) {
      over = await Promise.race([isOver, delay(PROGRESS_EVERY_MS, false, { ref: false })]);
      do {
        const report = progress.report();
        await stream.send({ ...toWire(report), done: over && !progress.isMoreToTell });
      } while (progress.isMoreToTell);
    }
  }

  async #verify(stream: AnswerStream<VerifyResponse>): Promise<void> {
    if (this.#isVerifying) throw new OciError('UNAVAILABLE', 'everything is being verified already');
    this.#isVerifying = true;
    try {
      const contents = await Array.fromAsync(this.#options.inventory.contents());
      const totalBytes = contents.reduce((sum, { sizeBytes }) => sum + sizeBytes, 0);
      let [blobs, bytes, toldAtMs] = [0, 0, performance.now()];
      let corrupt: Digest[] = [];
      let unreadable: Digest[] = [];
      const tell = async (done: boolean): Promise<void> => {
        await stream.send({ blobs, bytes, corrupt, unreadable, totalBlobs: contents.length, totalBytes, done });
        [corrupt, unreadable, toldAtMs] = [[], [], performance.now()];
      };
      for (const { digest, sizeBytes } of contents) {
        const verdict = await verify(this.#options.store, digest, stream.signal);
        if (verdict === 'corrupt') corrupt.push(digest);
        if (verdict === 'unreadable') unreadable.push(digest);
        blobs += 1;
        bytes += sizeBytes;
        const isLate = performance.now() - toldAtMs >= PROGRESS_EVERY_MS;
        if (isLate || corrupt.length + unreadable.length >= MAX_NAMED) await tell(false);
      }
      await tell(true);
    } finally {
      this.#isVerifying = false;
    }
  }

  #whatOf({ what, digest = '', repository = '', all = false }: EvictRequest__Output): EvictWhat {
    if (what === 'digest') return { kind: 'digest', digest: parseDigest(digest) };
    if (what === 'repository') return { kind: 'repository', place: this.#placeOf(repository) };
    if (what === 'all' && all) return { kind: 'all' };
    throw new OciError('NAME_INVALID', 'one of digest, repository and all says what is to go');
  }

  #placeOf(text: string): string {
    return placeKey(parsePlace(text, this.#options.names));
  }

  #answer<Request, Response>(
    method: string,
    subject: (request: Request) => string,
    handle: (request: Request, signal: AbortSignal) => Promise<Response>,
  ) {
    return (call: ServerUnaryCall<Request, Response>, callback: sendUnaryData<Response>): void => {
      const report = this.#reporter(method, subject, call);
      handle(call.request, hungUp(call)).then(
        (response) => {
          report(undefined);
          callback(null, response);
        },
        (reason: unknown) => {
          const error = OciError.from(reason);
          report(error);
          callback(toGrpcError(error));
        },
      );
    };
  }

  #stream<Request, Response>(
    method: string,
    subject: (request: Request) => string,
    handle: (request: Request, stream: AnswerStream<Response>) => Promise<void>,
  ) {
    return (call: ServerWritableStream<Request, Response>): void => {
      const report = this.#reporter(method, subject, call);
      const stream = new AnswerStream(call);
      this.#bounded(() => handle(call.request, stream)).then(
        () => {
          report(undefined);
          call.end();
        },
        (reason: unknown) => {
          const error = stream.signal.aborted ? undefined : OciError.from(reason);
          report(error);
          if (error) call.emit('error', toGrpcError(error));
        },
      );
    };
  }

  async #bounded(handle: () => Promise<void>): Promise<void> {
    if (this.#streams >= MAX_STREAMS) throw new OciError('UNAVAILABLE', 'too many such calls are under way; try again');
    this.#streams += 1;
    try {
      await handle();
    } finally {
      this.#streams -= 1;
    }
  }

  #reporter<Request>(
    method: string,
    subject: (request: Request) => string,
    call: { readonly request: Request; getPeer(): string },
  ): (error: OciError | undefined) => void {
    const peer = call.getPeer();
    return (error) => this.#options.report(method, this.#understood(subject(call.request)), peer, error);
  }

  /** What a call was about, if that is a name: anything may have been sent, secrets as well. */
  #understood(subject: string): string {
    if (subject === 'all' || isDigest(subject)) return subject;
    try {
      return formatImageName(parseImageName(subject, this.#options.names));
    } catch {
      return '';
    }
  }
}

function subjectOf({ what, digest = '', repository = '' }: EvictRequest__Output): string {
  return what === 'all' ? 'all' : digest || repository;
}

/** @throws OciError NAME_INVALID */
function sizeOfPage(wanted: number): number {
  if (wanted > MAX_PAGE) throw new OciError('NAME_INVALID', `a page has at most ${MAX_PAGE} rows`);
  return wanted || PAGE;
}

const STATES = {
  fetching: 'PREHEAT_STATE_FETCHING',
  present: 'PREHEAT_STATE_PRESENT',
  fetched: 'PREHEAT_STATE_FETCHED',
  failed: 'PREHEAT_STATE_FAILED',
} as const satisfies Record<PreheatState, string>;

function toWire({ changed, ...counts }: PreheatReport): PreheatResponse {
  return {
    ...counts,
    changed: changed.map(({ sizeBytes, receivedBytes, state, ...object }) => ({
      ...object,
      size: sizeBytes,
      received: receivedBytes,
      state: STATES[state],
    })),
  };
}
