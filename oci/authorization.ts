import { OciError } from './error.ts';

/** Name and secret of `Basic` credentials (RFC 7617). */
export interface BasicCredentials {
  readonly username: string;
  readonly password: string;
}

/** The largest secrets in use, cloud keys as passwords, have some 5 KB; Node's HTTP server ends at 16 KB of headers. */
const MAX_LENGTH = 12 * 1024;
/** `scheme SP credentials`, visible ASCII only: it is put into the headers of other requests. */
const FORM = /^(?<scheme>[A-Za-z][A-Za-z0-9-]*) +(?<credentials>[\x21-\x7e](?:[\x20-\x7e]*[\x21-\x7e])?)$/;

/**
 * The Authorization header that a caller sent, checked. It is a secret: the value is private to this class, so that
 * neither `JSON.stringify`, nor a logger, nor an error message shows it by accident.
 */
export class Authorization {
  readonly #header: string;

  private constructor(header: string) {
    this.#header = header;
  }

  /**
   * @param values all Authorization headers of a request
   * @returns undefined when there is none, or one that names nobody: skopeo, podman and buildah without a login answer
   *   a question for a password with an empty name and an empty password
   * @throws OciError AUTHORIZATION_INVALID for several ones (who reads the first and who reads the last would mean
   *   different callers), for what is too long, and for what is no header of the form `scheme credentials`
   */
  static parse(values: readonly string[]): Authorization | undefined {
    const [value, ...others] = values;
    if (value === undefined) return undefined;
    if (others.length > 0 || value.length > MAX_LENGTH || !FORM.test(value)) {
      throw new OciError('AUTHORIZATION_INVALID', 'one Authorization header of the form "scheme credentials" is taken');
    }
    const authorization = new Authorization(value);
    const { username, password } = authorization.basic ?? {};
    return username === '' && password === '' ? undefined : authorization;
  }

  static basic({ username, password }: BasicCredentials): Authorization {
    return new Authorization(`Basic ${Buffer.from(`${username}:${password}`).toString('base64')}`);
  }

  static bearer(token: string): Authorization {
    return new Authorization(`Bearer ${token}`);
  }

  /** The header's value: the secret itself. */
  get header(): string {
    return this.#header;
  }

  /** Undefined when it is of another scheme, or not what RFC 7617 says. */
  get basic(): BasicCredentials | undefined {
    const text = Buffer.from(this.#credentialsOf('basic') ?? '', 'base64').toString();
    const colon = text.indexOf(':');
    return colon < 0 ? undefined : { username: text.slice(0, colon), password: text.slice(colon + 1) };
  }

  /**
   * When a Bearer token ends by its own word, in ms since 1970: the `exp` of a JWT (RFC 7519 section 4.1.4). It is not
   * verified, and need not be: it can only make what is derived from the token end sooner. Undefined for other tokens.
   */
  get expiresAtMs(): number | undefined {
    const [, payload] = this.#credentialsOf('bearer')?.split('.') ?? [];
    if (payload === undefined) return undefined;
    try {
      const claims: unknown = JSON.parse(Buffer.from(payload, 'base64url').toString());
      const exp = typeof claims === 'object' && claims !== null && 'exp' in claims ? claims.exp : undefined;
      return typeof exp === 'number' && Number.isFinite(exp) ? exp * 1000 : undefined;
    } catch {
      return undefined; // an opaque token that happens to have a dot
    }
  }

  #credentialsOf(wanted: string): string | undefined {
    const { scheme, credentials } = FORM.exec(this.#header)?.groups ?? {};
    return scheme?.toLowerCase() === wanted ? credentials : undefined;
  }
}
