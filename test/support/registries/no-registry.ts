import { sendPage } from '../origin-send.ts';
import { TestServer, type Exchange } from '../origin-server.ts';
import { ADDRESSES } from './registry.ts';

/** What stands between a cluster and a registry at times, and answers in its place. */
export class NoRegistry extends TestServer {
  readonly #answer: (exchange: Exchange) => void;

  constructor(answer: (exchange: Exchange) => void, address?: string) {
    super(address === undefined ? {} : { address });
    this.#answer = answer;
  }

  protected override async answer(exchange: Exchange): Promise<void> {
    this.#answer(exchange);
  }
}

/** One such answerer, and the further hosts it sends its clients to. */
export interface Between extends AsyncDisposable {
  readonly url: string;
  readonly entry: { redirectHosts: string[] };
  /** Everything that was asked of it, by any host. */
  readonly servers: readonly TestServer[];
}

/** Says 200 to everything, with a page. */
export async function startBlockPage(): Promise<Between> {
  return await between((exchange) => sendPage(exchange, 200, 'Access to this site is blocked'));
}

/** Sends everybody to a page at another host, which is there for everything. */
export async function startBlockRedirect(): Promise<Between> {
  const page = await new NoRegistry(
    (exchange) => sendPage(exchange, 200, 'Access to this site is blocked'),
    ADDRESSES.backend,
  ).up();
  return await between((exchange) => sendPage(exchange, 302, 'Blocked', { location: `${page.url}/blocked` }), page);
}

/** Sends everybody to its own login page. */
export async function startLoginRedirect(): Promise<Between> {
  return await between((exchange) => {
    if (exchange.record.path === '/login') sendPage(exchange, 200, 'Please log in');
    else sendPage(exchange, 302, 'Please log in', { location: '/login' });
  });
}

async function between(answer: (exchange: Exchange) => void, ...more: NoRegistry[]): Promise<Between> {
  const first = await new NoRegistry(answer).up();
  const servers = [first, ...more];
  return {
    url: first.url,
    entry: { redirectHosts: more.map(({ host }) => host) },
    servers,
    [Symbol.asyncDispose]: async () => {
      await Promise.all(servers.map((server) => server[Symbol.asyncDispose]()));
    },
  };
}
