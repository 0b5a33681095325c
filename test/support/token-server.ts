import { randomUUID } from 'node:crypto';
import { text } from 'node:stream/consumers';
import { Access, type AccessOptions, type Caller } from './origin-access.ts';
import { sendError, sendMoodInstead, sendText } from './origin-send.ts';
import { TestServer, type Exchange } from './origin-server.ts';

/** How tokens are given; every field may be changed at any time. */
export interface TokenRules {
  /** Anonymous callers get this status and no token. */
  refuseAnonymous?: 401 | 403;
  /** What a caller gets who asks for a repository that is closed to him: a token without it, or this status. */
  onNoAccess: 'empty-token' | 401 | 403;
  /** For how long a token is good, in seconds from its making. */
  lifeSeconds: number;
  /** `expires_in` of the answer: as it is, left out, or so many seconds. */
  expiresIn: 'true' | 'missing' | number;
  /** The field(s) of the answer that the token is in. */
  field: 'token' | 'access_token' | 'both';
  /** How a POST (OAuth2) is answered; a number: with that status, as by registries that know only GET. */
  post: 'token' | 404 | 400;
}

interface Issued {
  readonly repositories: ReadonlySet<string>;
  readonly endsAtMs: number;
}

/** Gives tokens and knows them again. Tokens look like JWTs, with `exp`; nothing signs them. */
export class TokenAuthority {
  readonly access: Access;
  readonly rules: TokenRules = {
    onNoAccess: 'empty-token',
    lifeSeconds: 300,
    expiresIn: 'true',
    field: 'both',
    post: 'token',
  };
  readonly #issued = new Map<string, Issued>();

  constructor(access: Access) {
    this.access = access;
  }

  /** A token for these repositories, whoever may read them. */
  issue(repositories: readonly string[]): string {
    const endsAtMs = Date.now() + this.rules.lifeSeconds * 1000;
    const token = `${encoded({ alg: 'none' })}.${encoded({ exp: Math.floor(endsAtMs / 1000), jti: randomUUID() })}.`;
    this.#issued.set(token, { repositories: new Set(repositories), endsAtMs });
    return token;
  }

  /** From now on none of the tokens given so far is good. */
  revokeAll(): void {
    this.#issued.clear();
  }

  /** What a token is worth for a repository (for none: whether it is good at all). */
  check(token: string, repository: string | undefined): 'good' | 'invalid' | 'insufficient' {
    const issued = this.#issued.get(token);
    if (issued === undefined || issued.endsAtMs <= Date.now()) return 'invalid';
    return repository === undefined || issued.repositories.has(repository) ? 'good' : 'insufficient';
  }

  /**
   * Answers a token request.
   * @see https://distribution.github.io/distribution/spec/auth/token/
   */
  async answer(exchange: Exchange): Promise<void> {
    const { request, record } = exchange;
    if (request.method === 'POST') {
      if (this.rules.post !== 'token') return sendError(exchange, this.rules.post, 'UNSUPPORTED');
      const form = new URLSearchParams(await text(request));
      const caller = this.access.login(form.get('username') ?? '', form.get('password') ?? '');
      return this.#give(exchange, caller, form.getAll('scope'));
    }
    return this.#give(exchange, this.access.callerOf(request.headers.authorization), record.query.getAll('scope'));
  }

  #give(exchange: Exchange, caller: Caller, scopes: readonly string[]): void {
    const { rules, access } = this;
    if (caller === 'wrong') return sendError(exchange, 401, 'UNAUTHORIZED');
    if (caller === 'anonymous' && rules.refuseAnonymous !== undefined) {
      return sendError(exchange, rules.refuseAnonymous, rules.refuseAnonymous === 401 ? 'UNAUTHORIZED' : 'DENIED');
    }
    const asked = repositoriesOf(scopes);
    const granted = asked.filter((repository) => access.mayRead(caller, repository));
    if (granted.length < asked.length && rules.onNoAccess !== 'empty-token') {
      return sendError(exchange, rules.onNoAccess, 'DENIED');
    }
    const token = this.issue(granted);
    const expiresIn = rules.expiresIn === 'true' ? rules.lifeSeconds : rules.expiresIn;
    const answer = {
      ...(rules.field === 'access_token' ? {} : { token }),
      ...(rules.field === 'token' ? {} : { access_token: token }),
      ...(expiresIn === 'missing' ? {} : { expires_in: expiresIn }),
    };
    sendText(exchange, 200, { 'content-type': 'application/json' }, JSON.stringify(answer));
  }
}

function encoded(part: object): string {
  return Buffer.from(JSON.stringify(part)).toString('base64url');
}

/** The repositories of scopes like `repository:org/app:pull`, of which one parameter may hold several. */
function repositoriesOf(scopes: readonly string[]): string[] {
  return scopes
    .flatMap((scope) => scope.split(' '))
    .map((scope) => /^repository:(?<name>.+):[^:]*$/.exec(scope)?.groups?.['name'])
    .filter((name) => name !== undefined);
}

/** A token service on a host of its own, as Docker Hub's is. Its moods are for `{ kind: 'token' }`. */
export class TokenServer extends TestServer {
  readonly authority: TokenAuthority;

  constructor(access: AccessOptions) {
    super();
    this.authority = new TokenAuthority(new Access(access));
  }

  /** What a challenge names as its realm. */
  get realm(): string {
    return `${this.url}/token`;
  }

  protected override async answer(exchange: Exchange): Promise<void> {
    if (exchange.record.kind !== 'token') return sendError(exchange, 404, 'UNSUPPORTED');
    if (await sendMoodInstead(exchange, this.moodFor(exchange.record))) return;
    await this.authority.answer(exchange);
  }
}

/** Starts a token service; hand it to `startOrigin({ auth: 'bearer', tokenServer })`. */
export async function startTokenServer(access: AccessOptions = {}): Promise<TokenServer> {
  return new TokenServer(access).up();
}
