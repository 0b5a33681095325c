import { type FastifyInstance, fastify } from 'fastify';
import type { Registry as MetricsRegistry } from 'prom-client';
import { listenOn } from './listen.ts';
import type { Address } from './units.ts';

export interface StatusOptions {
  readonly listen: Address;
  readonly metrics: MetricsRegistry;
  /** Listening, configured, store open. Not: that the other side is there, or one outage would become two. */
  readonly isReady: () => boolean;
  /** Adds what else is served here. */
  readonly extend?: (app: FastifyInstance) => void;
}

/** Where it serves; disposing ends it. */
export interface StatusServer extends AsyncDisposable {
  readonly address: Address;
}

/** Serves /livez, /readyz and /metrics. */
export async function startStatusServer({ listen, metrics, isReady, extend }: StatusOptions): Promise<StatusServer> {
  const app = fastify({ logger: false });
  app.get('/livez', async () => 'ok\n');
  app.get('/readyz', async (_request, reply) => (isReady() ? 'ok\n' : await reply.code(503).send('not ready\n')));
  app.get('/metrics', async (_request, reply) => {
    reply.type(metrics.contentType);
    return await metrics.metrics();
  });
  extend?.(app);
  const address = await listenOn(app, listen);
  return { address, [Symbol.asyncDispose]: () => app.close() };
}
