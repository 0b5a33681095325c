import type { IncomingMessage } from 'node:http';
import type { Caller } from './origin-access.ts';
import { sendError } from './origin-send.ts';
import type { Exchange } from './origin-server.ts';
import type { TokenAuthority } from './token-server.ts';

/** Why somebody is not let in. */
export type Reason = 'no-credentials' | 'bad-credentials' | 'no-access';

/** What a refusal looks like. */
export interface Refusal {
  readonly status: 400 | 401 | 403 | 404;
  readonly code: string;
  readonly message?: string;
  /** Whether it asks for credentials: not at all, as it asks a bare request, with `error=` as well, or for a password. */
  readonly challenge: 'none' | 'bare' | 'error' | 'basic';
}

export interface DoorOptions {
  /**
   * `none`: everybody reads everything. `bearer`: a token is needed, which anonymous callers get for public
   * repositories. `basic`: name and password are needed for private repositories, nothing for public ones.
   */
  readonly auth?: 'none' | 'bearer' | 'basic';
  /** `service` of challenges: the origin's host unless given; `null`: none, as nvcr.io. */
  readonly service?: string | null;
  /** `realm` of Basic challenges. */
  readonly basicRealm?: string;
  /** `scope` of challenges for a repository. */
  readonly scopeOf?: (repository: string, actions: string) => string;
  /** Where a registry refuses in its own way. */
  readonly refusals?: Partial<Record<Reason, Refusal>>;
}

const REFUSALS: Record<'bearer' | 'basic', Record<Reason, Refusal>> = {
  bearer: {
    'no-credentials': { status: 401, code: 'UNAUTHORIZED', challenge: 'bare' },
    'bad-credentials': { status: 401, code: 'UNAUTHORIZED', challenge: 'error' },
    'no-access': { status: 401, code: 'UNAUTHORIZED', challenge: 'error' },
  },
  basic: {
    'no-credentials': { status: 401, code: 'UNAUTHORIZED', challenge: 'bare' },
    'bad-credentials': { status: 401, code: 'UNAUTHORIZED', challenge: 'bare' },
    'no-access': { status: 403, code: 'DENIED', challenge: 'none' },
  },
};

/** Lets in who may read, and refuses the others as a registry does. */
export class Door {
  readonly #tokens: TokenAuthority;
  readonly #options: DoorOptions;
  readonly #where: () => { realm: string; service: string | null };

  constructor(tokens: TokenAuthority, options: DoorOptions, where: () => { realm: string; service: string | null }) {
    this.#tokens = tokens;
    this.#options = options;
    this.#where = where;
  }

  /** What a request is challenged with; `scope` only for a repository. */
  challenge(repository?: string, error?: string, actions = 'pull'): string {
    const { auth, basicRealm = 'origin', scopeOf = (name, what) => `repository:${name}:${what}` } = this.#options;
    const { realm, service } = this.#where();
    if (auth === 'basic') return [`Basic realm="${basicRealm}"`, ...basicService(this.#options)].join(',');
    return [
      `Bearer realm="${realm}"`,
      ...(service === null ? [] : [`service="${service}"`]),
      ...(repository === undefined ? [] : [`scope="${scopeOf(repository, actions)}"`]),
      ...(error === undefined ? [] : [`error="${error}"`]),
    ].join(',');
  }

  /** Lets a request through, or answers it with a challenge or a refusal. */
  admit(exchange: Exchange): boolean {
    const { auth = 'none' } = this.#options;
    if (auth === 'none') return true;
    const reason = auth === 'bearer' ? this.#bearer(exchange) : this.#basic(exchange);
    if (reason === undefined) return true;
    const { status, code, message, challenge } = this.#options.refusals?.[reason] ?? REFUSALS[auth][reason];
    const error = {
      'no-credentials': undefined,
      'bad-credentials': 'invalid_token',
      'no-access': 'insufficient_scope',
    };
    const { repository } = exchange.record;
    const actions = isPush(exchange) ? 'pull,push' : 'pull';
    const told = this.challenge(repository, challenge === 'error' ? error[reason] : undefined, actions);
    const text = challenge === 'basic' ? `Basic realm="${this.#options.basicRealm}"` : told;
    sendError(exchange, status, code, challenge === 'none' ? {} : { 'www-authenticate': text }, message);
    return false;
  }

  /** Who asks. */
  callerOf({ headers: { authorization } }: IncomingMessage): Caller {
    const token = tokenIn(authorization);
    return token === undefined ? this.#tokens.access.callerOf(authorization) : this.#tokens.holderOf(token);
  }

  #bearer(exchange: Exchange): Reason | undefined {
    const { request, record } = exchange;
    const token = tokenIn(request.headers.authorization);
    if (token === undefined) return 'no-credentials';
    const worth = this.#tokens.check(token, record.repository, isPush(exchange));
    return worth === 'good' ? undefined : worth === 'invalid' ? 'bad-credentials' : 'no-access';
  }

  #basic(exchange: Exchange): Reason | undefined {
    const {
      request,
      record: { repository },
    } = exchange;
    const { access } = this.#tokens;
    const caller = access.callerOf(request.headers.authorization);
    if (caller === 'wrong') return 'bad-credentials';
    const may = isPush(exchange) ? access.mayPush(caller, repository ?? '') : access.mayRead(caller, repository ?? '');
    const isOpen = repository === undefined ? caller !== 'anonymous' : may;
    if (isOpen) return undefined;
    return caller === 'anonymous' ? 'no-credentials' : 'no-access';
  }
}

function basicService({ service }: DoorOptions): string[] {
  return typeof service === 'string' ? [`service="${service}"`] : [];
}

function tokenIn(authorization: string | undefined): string | undefined {
  return /^bearer +(?<token>\S+)$/i.exec(authorization ?? '')?.groups?.['token'];
}

/** Does it change something, or belong to a change? */
function isPush({ request, record: { kind } }: Exchange): boolean {
  return kind === 'upload' || (request.method !== 'GET' && request.method !== 'HEAD');
}
