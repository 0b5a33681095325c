import { EventEmitter, once } from 'node:events';
import type { IncomingHttpHeaders } from 'node:http';

/** What a request asks for. `base` is `/v2/`; `other` is everything no registry serves. */
export type RequestKind = 'base' | 'manifest' | 'blob' | 'upload' | 'tags' | 'referrers' | 'token' | 'other';

/** One request as the server saw it, and what it answered. Live: it changes while the answer is being written. */
export interface RequestRecord {
  readonly method: string;
  /** As sent, undecoded, without the query. */
  readonly path: string;
  readonly query: URLSearchParams;
  readonly headers: IncomingHttpHeaders;
  /** The Range header, if any. */
  readonly range: string | undefined;
  /** Milliseconds of `performance.now()` when the request's headers had arrived. */
  readonly at: number;
  /** The client's port: equal for requests over one connection. */
  readonly connection: number;
  readonly kind: RequestKind;
  readonly repository: string | undefined;
  /** Tag or digest as asked for. */
  readonly reference: string | undefined;
  /** Digest of what was asked for, also when it was asked for by tag; undefined if there is no such thing. */
  digest: string | undefined;
  /** 0 until the answer begins, and for ever if none did. */
  status: number;
  /** Bytes of the request's body that were read. */
  receivedBytes: number;
  /** Body bytes written. In an answer that the client broke off, this includes what the kernel still held. */
  bodyBytes: number;
  /** Like `at`: when the answer was finished or broken off; undefined while it goes on. */
  endedAt: number | undefined;
}

/** Picks requests: all the fields that are given have to be equal. */
export type RequestMatch = Partial<
  Pick<RequestRecord, 'kind' | 'method' | 'repository' | 'reference' | 'digest' | 'status'>
>;

/** Tells whether `record` is one of those that `match` picks. */
export function isMatch(record: RequestRecord, match: RequestMatch): boolean {
  return (
    (match.kind === undefined || match.kind === record.kind) &&
    (match.method === undefined || match.method === record.method) &&
    (match.repository === undefined || match.repository === record.repository) &&
    (match.reference === undefined || match.reference === record.reference) &&
    (match.digest === undefined || match.digest === record.digest) &&
    (match.status === undefined || match.status === record.status)
  );
}

const MAX_WAIT_MS = 10_000;

/** The requests a server received, in order of arrival. */
export class RequestLog {
  readonly requests: RequestRecord[] = [];
  readonly #changes = new EventEmitter().setMaxListeners(0);

  /** Takes a request in, at its arrival. */
  add(record: RequestRecord): void {
    this.requests.push(record);
    this.changed();
  }

  /** To be called when a record changed in what somebody may wait for. */
  changed(): void {
    this.#changes.emit('change');
  }

  filter(match: RequestMatch): RequestRecord[] {
    return this.requests.filter((record) => isMatch(record, match));
  }

  /** Body bytes of all answers 200 and 206 for this digest. */
  bodyBytes(digest: string): number {
    return this.requests
      .filter((record) => record.digest === digest && (record.status === 200 || record.status === 206))
      .reduce((sum, record) => sum + record.bodyBytes, 0);
  }

  /** Resolves when `enough` holds of the log; throws after 10 s. */
  async until(enough: () => boolean, what: string): Promise<void> {
    const signal = AbortSignal.timeout(MAX_WAIT_MS);
    while (!enough()) {
      try {
        await once(this.#changes, 'change', { signal });
      } catch (cause) {
        throw new Error(`waited ${MAX_WAIT_MS} ms in vain: ${what}`, { cause });
      }
    }
  }
}
