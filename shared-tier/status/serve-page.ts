import { createHash } from 'node:crypto';
import type { FastifyInstance, FastifyRequest } from 'fastify';
import type { Names, PageModel } from './page.ts';
import { renderPage } from './page.ts';
import { STYLE } from './style.ts';

export interface PageSources {
  readonly model: () => Promise<Omit<PageModel, 'names'>>;
  readonly names: () => Promise<Names>;
}

/** The page has no scripts, loads nothing, and may not be put into another one. */
const POLICY = [
  "default-src 'none'",
  `style-src 'sha256-${createHash('sha256').update(STYLE.toString()).digest('base64')}'`,
  "base-uri 'none'",
  "form-action 'none'",
  "frame-ancestors 'none'",
].join('; ');

const HERE = new Set(['127.0.0.1', '::1', '::ffff:127.0.0.1']);
const LOCAL_HOST = /^(?:localhost|127\.0\.0\.1|\[::1\])(?::\d+)?$/;
/** With which what stands in between tells of itself. */
const FORWARDED = ['forwarded', 'x-forwarded-for', 'x-real-ip', 'via'] as const;

/** Adds the page to the status listener. */
export function servePage(app: FastifyInstance, { model, names }: PageSources): void {
  app.get('/', async (request, reply) => {
    const page = renderPage({ ...(await model()), names: isHere(request) ? await names() : undefined });
    return await reply
      .type('text/html; charset=utf-8')
      .headers({
        'content-security-policy': POLICY,
        'x-content-type-options': 'nosniff',
        'referrer-policy': 'no-referrer',
        'cache-control': 'no-store',
      })
      .send(page);
  });
}

/**
 * Does somebody on this machine ask, who was let in by the system, or by `kubectl port-forward`? Not through a proxy on this
 * machine, and not a page of somebody else's, whose name was made to lead here.
 */
function isHere({ socket, headers }: FastifyRequest): boolean {
  const isForwarded = FORWARDED.some((name) => headers[name] !== undefined);
  return HERE.has(socket.remoteAddress ?? '') && !isForwarded && LOCAL_HOST.test(headers.host ?? '');
}
