import { isMatch, type RequestMatch, type RequestRecord } from './origin-log.ts';

/** Names where to send a client instead of answering; a blob store is one. */
export interface RedirectTarget {
  /** The absolute URL for `Location`, given the path of the request. */
  locate(path: string): string;
}

/**
 * How a server misbehaves. Nothing set: it is a good registry.
 * Offsets and sizes are bytes of one answer's body; they work on answers that carry content (manifests, blobs, tag
 * lists, referrers), GET only, and one at or behind the body's end does nothing.
 */
export interface Moods {
  /** `false`: a ranged GET of a blob is answered 200 with all of it. */
  ranges?: boolean;
  /** A ranged GET gets a range that begins this many bytes later than asked; Content-Range says so. */
  shiftRange?: number;
  /** FIN after this many bytes; Content-Length promises the whole. */
  truncateAt?: number;
  /** RST after this many bytes; the client sees at most these. */
  resetAt?: number;
  /** After this many bytes nothing more comes, and the connection stays open. */
  stallAt?: number;
  /** No answer at all, and the connection stays open. */
  stallHeaders?: boolean;
  /** RST instead of an answer. */
  resetHeaders?: boolean;
  /** One byte is wrong: the middle one of the content, or the one at this offset in it. Length and headers are right. */
  lie?: boolean | number;
  /** The content has so many bytes more, Content-Length agrees with it. */
  longer?: number;
  /** The content has so many bytes less, Content-Length agrees with it. */
  shorter?: number;
  /** So many bytes more follow behind those that Content-Length announces. */
  overrun?: number;
  /** `wrong`: a well-formed digest of something else. */
  digestHeader?: 'right' | 'none' | 'wrong' | 'invalid';
  /** This status instead of an answer, with a registry's error body. */
  status?: number;
  /** Further headers of the answer, whatever it is; they win. */
  headers?: Record<string, string>;
  /** 200 with a block page in `text/html`, as a filter on the way sends it. */
  html?: boolean;
  /** 302 to an HTML login page: the server's own, `/login`, or this URL. */
  loginRedirect?: true | string;
  /** Redirect to another server: a base URL (the path is kept) or what knows the place. */
  redirectTo?: string | RedirectTarget;
  /** 307 unless set. */
  redirectStatus?: 301 | 302 | 303 | 307 | 308;
  /** `Content-Encoding: gzip`, whatever the client accepts; for bodies that fit in memory. */
  gzip?: boolean;
  /** Throttles each connection by itself. */
  bytesPerSecondPerConnection?: number;
  /** Waits before the headers. */
  headersDelayMs?: number;
  /** Chunked, without Content-Length; in answers to HEAD too. */
  noLength?: boolean;
  /** RST when so many bytes of the request's body have been read; they are kept. */
  breakBodyAt?: number;
  /** So many bytes of the request's body are read, and no more; the connection stays open. */
  stallBodyAt?: number;
  /** The request's body is read at this rate. */
  readBytesPerSecond?: number;
  /** What was asked for is done, and then comes an RST instead of the answer. */
  loseAnswer?: boolean;
  /** 404 for a manifest whose media type the request's Accept does not name. */
  strictAccept?: boolean;
}

/** Which requests a mood is for: all the fields that are given have to be equal. */
export type MoodMatch = Omit<RequestMatch, 'status'>;

interface Rule {
  readonly match: MoodMatch;
  readonly mood: Moods;
  left: number;
}

/** Which moods are in force for which requests. */
export class MoodBook {
  /** For every request to manifests, blobs, tags and referrers. */
  base: Moods = {};
  #rules: Rule[] = [];

  /** Adds moods for the next `times` matching requests; a later rule wins over earlier ones, any rule over `base`. */
  add(mood: Moods, match: MoodMatch, times: number): void {
    this.#rules.push({ match, mood, left: times });
  }

  /** Back to being good. */
  clear(): void {
    this.base = {};
    this.#rules = [];
  }

  /** The moods for this request; those that are counted are used up by it. */
  take(record: RequestRecord): Moods {
    const isContent = record.kind !== 'token' && record.kind !== 'base' && record.kind !== 'other';
    let mood: Moods = isContent ? { ...this.base } : {};
    for (const rule of this.#rules) {
      // A rule for everything means everything with content: nobody wants his 503 eaten by a GET of /v2/.
      const applies = isContent || rule.match.kind === record.kind;
      if (applies && rule.left > 0 && isMatch(record, rule.match)) {
        rule.left--;
        mood = { ...mood, ...rule.mood };
      }
    }
    this.#rules = this.#rules.filter((rule) => rule.left > 0);
    return mood;
  }
}
