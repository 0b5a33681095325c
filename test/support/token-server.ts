import { randomUUID } from 'node:crypto';
import { text } from 'node:stream/consumers';
import { Access, type AccessOptions, type Caller } from './origin-access.ts';
import { sendError, sendMoodInstead, sendText } from './origin-send.ts';
import { TestServer, type Exchange, type ServerOptions } from './origin-server.ts';

/** How tokens are given; every field may be changed at any time. */
export interface TokenRules {
  /** Anonymous callers get this status and no token. */
  refuseAnonymous?: 401 | 403;
  /** What a caller gets who asks for a repository that is closed to him: a token without it, or this status. */
  onNoAccess: 'empty-token' | 401 | 403;
  /** What an unknown name or a wrong password gets: 401, or a token that opens nothing. */
  onWrongLogin: 'empty-token' | 401;
  /** What a refusal for want of access says. */
  refusal?: string;
  /** For how long a token is good, in seconds from its making. */
  lifeSeconds: number;
  /** `expires_in` of the answer: as it is, left out, or so many seconds. */
  expiresIn: 'true' | 'missing' | number;
  /** The field(s) of the answer that the token is in. */
  field: 'token' | 'access_token' | 'both';
  /**
   * How a POST (OAuth2) is answered; `identity`: with a token for identity tokens, and 400 for passwords; a number: with
   * that status, as by registries that know only GET.
   */
  post: 'token' | 'identity' | 404 | 400 | 405;
  /** A scope that stands for all that its caller may read, as `aws` at public.ecr.aws. */
  wideScope?: string;
  /** What becomes of a request with a scope that names no repository here: the scope is left out, or this status. */
  unknownScope: 'ignored' | 400 | 403;
}

interface Issued {
  readonly caller: Caller;
  readonly mayRead: (repository: string) => boolean;
  readonly mayPush: (repository: string) => boolean;
  readonly endsAtMs: number;
}

/** Gives tokens and knows them again. Tokens look like JWTs, with `exp`; nothing signs them. */
export class TokenAuthority {
  readonly access: Access;
  readonly rules: TokenRules = {
    onNoAccess: 'empty-token',
    onWrongLogin: 401,
    lifeSeconds: 300,
    expiresIn: 'true',
    field: 'both',
    post: 'token',
    unknownScope: 'ignored',
  };
  readonly #issued = new Map<string, Issued>();

  constructor(access: Access) {
    this.access = access;
  }

  /** A token for these repositories, whoever may read them. */
  issue(repositories: readonly string[], caller: Caller = 'anonymous'): string {
    const isOne = (repository: string): boolean => repositories.includes(repository);
    return this.#issue(caller, isOne, isOne);
  }

  #issue(caller: Caller, mayRead: Issued['mayRead'], mayPush: Issued['mayPush']): string {
    const endsAtMs = Date.now() + this.rules.lifeSeconds * 1000;
    const token = `${encoded({ alg: 'none' })}.${encoded({ exp: Math.floor(endsAtMs / 1000), jti: randomUUID() })}.`;
    this.#issued.set(token, { caller, mayRead, mayPush, endsAtMs });
    return token;
  }

  /** From now on none of the tokens given to this user so far is good. */
  revoke(name: string): void {
    for (const [token, { caller }] of this.#issued) {
      if (typeof caller !== 'string' && caller.name === name) this.#issued.delete(token);
    }
  }

  /** Every token that is good now. */
  get tokens(): readonly string[] {
    return [...this.#issued.keys()];
  }

  /** From now on none of the tokens given so far is good. */
  revokeAll(): void {
    this.#issued.clear();
  }

  /** Whom a token was given to. */
  holderOf(token: string): Caller {
    return this.#issued.get(token)?.caller ?? 'wrong';
  }

  /** What a token is worth for a repository (for none: whether it is good at all). */
  check(token: string, repository: string | undefined, isPush = false): 'good' | 'invalid' | 'insufficient' {
    const issued = this.#issued.get(token);
    if (issued === undefined || issued.endsAtMs <= Date.now()) return 'invalid';
    if (repository === undefined) return 'good';
    return (isPush ? issued.mayPush(repository) : issued.mayRead(repository)) ? 'good' : 'insufficient';
  }

  /**
   * Answers a token request.
   * @see https://distribution.github.io/distribution/spec/auth/token/
   */
  async answer(exchange: Exchange): Promise<void> {
    const { request, record } = exchange;
    if (request.method === 'POST') {
      const { post } = this.rules;
      if (typeof post === 'number') return sendError(exchange, post, 'UNSUPPORTED');
      const form = new URLSearchParams(await text(request));
      const isPassword = form.get('grant_type') !== 'refresh_token';
      if (isPassword && post === 'identity') return sendError(exchange, 400, 'UNSUPPORTED');
      const caller = isPassword
        ? this.access.login(form.get('username') ?? '', form.get('password') ?? '')
        : this.access.identified(form.get('refresh_token') ?? '');
      return this.#give(exchange, caller, form.getAll('scope'));
    }
    return this.#give(exchange, this.access.callerOf(request.headers.authorization), record.query.getAll('scope'));
  }

  #give(exchange: Exchange, caller: Caller, scopes: readonly string[]): void {
    const { rules, access } = this;
    if (caller === 'wrong' && rules.onWrongLogin === 401) return sendError(exchange, 401, 'UNAUTHORIZED');
    if (caller === 'anonymous' && rules.refuseAnonymous !== undefined) {
      return sendError(exchange, rules.refuseAnonymous, rules.refuseAnonymous === 401 ? 'UNAUTHORIZED' : 'DENIED');
    }
    const names = scopes.flatMap((scope) => scope.split(' ')).filter((name) => name !== rules.wideScope);
    const asked = names.map(repositoryOf).filter((name) => name !== undefined);
    const isAllKnown = asked.length === names.length && asked.every((name) => access.isKnown(name));
    if (!isAllKnown && rules.unknownScope !== 'ignored') {
      return sendError(exchange, rules.unknownScope, 'DENIED', {}, rules.refusal);
    }
    const granted = asked.filter((repository) => access.mayRead(caller, repository));
    if (granted.length < asked.length && rules.onNoAccess !== 'empty-token') {
      return sendError(exchange, rules.onNoAccess, 'DENIED', {}, rules.refusal);
    }
    const isWide = scopes.some((scope) => scope.split(' ').includes(rules.wideScope ?? ''));
    const pushes = new Set(names.filter(isForPush).map(repositoryOf));
    const token = this.#issue(
      caller,
      (name) => (isWide ? access.mayRead(caller, name) : granted.includes(name)),
      (name) => pushes.has(name) && access.mayPush(caller, name),
    );
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

/** Does the scope ask for the right to push? */
function isForPush(scope: string): boolean {
  return scope.slice(scope.lastIndexOf(':')).split(/[:,]/).includes('push');
}

/** The repository of a scope like `repository:org/app:pull`. */
function repositoryOf(scope: string): string | undefined {
  return /^repository:(?<name>.+):[^:]*$/.exec(scope)?.groups?.['name'];
}

/** A token service on a host of its own, as Docker Hub's is. Its moods are for `{ kind: 'token' }`. */
export class TokenServer extends TestServer {
  readonly authority: TokenAuthority;

  constructor(access: AccessOptions, options: ServerOptions) {
    super(options);
    this.authority = new TokenAuthority(new Access(access));
  }

  protected override async answer(exchange: Exchange): Promise<void> {
    if (exchange.record.kind !== 'token') return sendError(exchange, 404, 'UNSUPPORTED');
    if (await sendMoodInstead(exchange, this.moodFor(exchange.record))) return;
    await this.authority.answer(exchange);
  }
}

/** Starts a token service; hand it to `startOrigin({ auth: 'bearer', tokenServer })`. */
export async function startTokenServer(access: AccessOptions = {}, options: ServerOptions = {}): Promise<TokenServer> {
  return new TokenServer(access, options).up();
}
