/**
 * What can go wrong, as the client of a registry sees it. Closed list: a new code needs a row in every table.
 *
 * The upper-case names are those of the distribution spec where it has one
 * (https://github.com/opencontainers/distribution-spec/blob/main/spec.md#error-codes).
 */
export type ErrorCode = keyof typeof HTTP_STATUS;

/**
 * The one mapping from code to HTTP status.
 *
 * 403, 408 and 429 are absent on purpose: containerd asks a mirror that answers 408 or 429 five times without a
 * pause, and 403 would tell that something exists. 404 and 503 make it go on to the origin at once.
 */
const HTTP_STATUS = {
  NAME_INVALID: 400,
  TAG_INVALID: 400,
  DIGEST_INVALID: 400,
  /** An Authorization header that means nothing, or two things. */
  AUTHORIZATION_INVALID: 400,
  UNAUTHORIZED: 401,
  NAME_UNKNOWN: 404,
  MANIFEST_UNKNOWN: 404,
  BLOB_UNKNOWN: 404,
  BLOB_UPLOAD_UNKNOWN: 404,
  BLOB_UPLOAD_INVALID: 400,
  SIZE_INVALID: 413,
  /** An origin has refused a change. Its own status and words take the place of these: shared-tier/origin/origin-refused.ts. */
  PUSH_REFUSED: 400,
  /**
   * Not in the specification, on purpose: oras takes NAME_UNKNOWN at /referrers/ for a missing repository and gives up,
   * and every other 404 for a registry without that API, and looks for a tag instead.
   */
  ENDPOINT_UNKNOWN: 404,
  UNSUPPORTED: 405,
  RANGE_INVALID: 416,
  INTERNAL: 500,
  /** Content whose bytes are not what its digest says. Readers in the middle of it are cut off, never finished. */
  CORRUPT: 503,
  UNAVAILABLE: 503,
} as const;

/** Every code there is, for tables on other wires. */
export const ERROR_CODES = Object.keys(HTTP_STATUS) as readonly ErrorCode[];

export interface OciErrorOptions {
  /** For the log only; never sent to a client. */
  cause?: unknown;
  /** The object exists perhaps, but not for this caller. The client sees exactly what it sees for an absent one. */
  denied?: boolean;
  /** `WWW-Authenticate` of an UNAUTHORIZED, a string a line. */
  challenge?: readonly string[];
  /** How long the content is, of a RANGE_INVALID. */
  sizeBytes?: number;
}

/** The only error that circ throws on purpose. Everything else is a bug and is answered as INTERNAL. */
export class OciError extends Error {
  override readonly name = 'OciError';
  readonly code: ErrorCode;
  readonly denied: boolean;
  readonly challenge: readonly string[] | undefined;
  readonly sizeBytes: number | undefined;

  /** @param message is sent to the client: no secrets, no internal addresses */
  constructor(code: ErrorCode, message: string, options: OciErrorOptions = {}) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause });
    this.code = code;
    this.denied = options.denied ?? false;
    this.challenge = options.challenge;
    this.sizeBytes = options.sizeBytes;
  }

  /** HTTP status of this error. */
  get status(): number {
    return HTTP_STATUS[this.code];
  }

  /** Error body of the distribution spec. */
  get body(): { errors: { code: string; message: string }[] } {
    return { errors: [{ code: this.code, message: this.message }] };
  }

  /** Total: whatever was thrown becomes an OciError, with the original as `cause`. */
  static from(reason: unknown): OciError {
    if (reason instanceof OciError) return reason;
    if (isTransport(reason)) return new OciError('UNAVAILABLE', 'not available at the moment', { cause: reason });
    return new OciError('INTERNAL', 'internal error', { cause: reason });
  }
}

/** Names and codes of Node, its HTTP clients and file system that mean "could not be reached or read now", not "bug". */
const TRANSPORT_NAMES = new Set(['AbortError', 'TimeoutError', 'HTTPParserError']);
const TRANSPORT_CODE =
  /^(E[A-Z]+|EAI_\w+|UND_ERR_\w+|HPE_\w+|ERR_STREAM_\w+|ERR_SOCKET_C\w+|ERR_TLS_\w+|ERR_SSL_\w+|ABORT_ERR|CERT_\w+|DEPTH_ZERO\w+|SELF_SIGNED\w+|UNABLE_TO\w+)$/;

/** Causes may go in a circle. */
const MAX_CAUSES = 10;

function isTransport(thrown: unknown): boolean {
  let reason = thrown;
  for (let depth = 0; depth < MAX_CAUSES && reason instanceof Error; depth += 1) {
    if (TRANSPORT_NAMES.has(reason.name)) return true;
    const code = 'code' in reason ? reason.code : undefined;
    if (typeof code === 'string' && TRANSPORT_CODE.test(code)) return true;
    reason = reason.cause;
  }
  return false;
}
