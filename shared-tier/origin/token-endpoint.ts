import type { Dispatcher } from 'undici';
import { assertDialable, type DispatcherOptions } from './dispatcher.ts';
import { type ObserveOrigin, type OriginResponse, discard, readBody } from './response.ts';
import { RetryLater } from './retry.ts';
import type { TokenQuestion } from './tokens.ts';

export interface TokenEndpointOptions extends Pick<DispatcherOptions, 'origin' | 'guard'> {
  readonly control: Dispatcher;
  readonly observe: ObserveOrigin;
}

const MAX_TOKEN_BYTES = 64 * 1024;
const TOKEN_MS = 10_000;
/** Names under which an identity token, which a login gave, is sent as a password. */
const IDENTITY_NAMES = new Set(['', '<token>']);
/** What endpoints answer that do not know a method, or a kind of grant. */
const OTHER_METHOD = new Set([400, 404, 405]);

/**
 * Asks for tokens: by GET, which all registries know; by POST for identity tokens, and where GET is not known.
 * Redirects are not followed: the realm was checked, and what it points at was not.
 *
 * @see https://distribution.github.io/distribution/spec/auth/token/ and `oauth/` beside it
 */
export class TokenEndpoint {
  readonly #options: TokenEndpointOptions;

  constructor(options: TokenEndpointOptions) {
    this.#options = options;
  }

  /** The JSON of the answer; undefined when it refuses. @throws RetryLater, OciError NAME_UNKNOWN */
  async ask(question: TokenQuestion): Promise<unknown> {
    const basic = question.authorization?.basic;
    if (!basic) return await tokenIn(await this.#get(question));
    const { username, password } = basic;
    if (IDENTITY_NAMES.has(username)) {
      return await tokenIn(await this.#post(question, { grant_type: 'refresh_token', refresh_token: password }));
    }
    const answer = await this.#get(question);
    if (!OTHER_METHOD.has(answer.statusCode)) return await tokenIn(answer);
    await discard(answer);
    return await tokenIn(await this.#post(question, { grant_type: 'password', username, password }));
  }

  async #get({ realm, service, scope, authorization }: TokenQuestion): Promise<OriginResponse> {
    const url = new URL(realm);
    if (service !== undefined) url.searchParams.set('service', service);
    // A mount's challenge names two repositories; token services know a parameter each, not all of them a list.
    for (const each of scope.split(' ')) url.searchParams.append('scope', each);
    return await this.#send('GET', url, authorization && { authorization: authorization.header });
  }

  async #post({ realm, service, scope }: TokenQuestion, grant: Record<string, string>): Promise<OriginResponse> {
    const form = new URLSearchParams({ ...grant, ...(service !== undefined && { service }), client_id: 'circ', scope });
    return await this.#send('POST', realm, { 'content-type': 'application/x-www-form-urlencoded' }, form.toString());
  }

  async #send(
    method: 'GET' | 'POST',
    url: URL,
    headers: Record<string, string> | undefined,
    body?: string,
  ): Promise<OriginResponse> {
    assertDialable(url, this.#options);
    const { origin, control, observe } = this.#options;
    const seen = { origin, kind: 'token', method, host: url.host } as const;
    const request = control.request({
      origin: url.origin,
      path: url.pathname + url.search,
      method,
      headers: { 'user-agent': 'circ', accept: 'application/json', ...headers },
      ...(body !== undefined && { body }),
      signal: AbortSignal.timeout(TOKEN_MS), // shared by callers, so none of their signals may end it
    });
    const response = await request.catch((error: unknown) => {
      observe({ ...seen, status: 0, error });
      throw error;
    });
    observe({ ...seen, status: response.statusCode });
    if (RetryLater.isFor(response)) {
      await discard(response);
      throw RetryLater.fromAnswer(response, 'the token endpoint');
    }
    return response;
  }
}

async function tokenIn(response: OriginResponse): Promise<unknown> {
  if (response.statusCode !== 200) {
    await discard(response);
    return undefined;
  }
  const text = (await readBody(response, MAX_TOKEN_BYTES)).toString('utf8');
  try {
    return JSON.parse(text) as unknown;
  } catch {
    return undefined; // a login page, say: there is no token to be had
  }
}
