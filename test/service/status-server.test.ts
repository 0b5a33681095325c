import { Counter, Registry as MetricsRegistry } from 'prom-client';
import { describe, expect, test } from 'vitest';
import { startStatusServer } from '../../service/status-server.ts';
import { ask } from '../support/origin-client.ts';

async function serving(isReady = () => true) {
  const metrics = new MetricsRegistry();
  new Counter({ name: 'circ_things_total', help: 'Things', registers: [metrics] }).inc(3);
  const server = await startStatusServer({ listen: { host: '127.0.0.1', port: 0 }, metrics, isReady });
  return {
    ask: (path: string) => ask(`http://127.0.0.1:${server.address.port}${path}`),
    [Symbol.asyncDispose]: () => server[Symbol.asyncDispose](),
  };
}

describe('the status server', () => {
  test('is live and ready', async () => {
    await using it = await serving();
    expect(await it.ask('/livez')).toMatchObject({ status: 200, body: Buffer.from('ok\n') });
    expect(await it.ask('/readyz')).toMatchObject({ status: 200, body: Buffer.from('ok\n') });
  });

  test('says 503 on /readyz, and is live, while it is not ready', async () => {
    await using it = await serving(() => false);
    expect(await it.ask('/readyz')).toMatchObject({ status: 503 });
    expect(await it.ask('/livez')).toMatchObject({ status: 200 });
  });

  test('gives the metrics in the form of Prometheus', async () => {
    await using it = await serving();
    const { status, headers, body } = await it.ask('/metrics');
    expect([status, headers['content-type']]).toEqual([200, expect.stringContaining('text/plain')]);
    expect(body.toString()).toContain('\ncirc_things_total 3\n');
  });

  test('knows nothing else', async () => {
    await using it = await serving();
    expect(await it.ask('/')).toMatchObject({ status: 404 });
  });
});
