import { Server, ServerCredentials, type UntypedServiceImplementation } from '@grpc/grpc-js';
import { expect, test } from 'vitest';
import type { AdminHandlers } from '../../../proto/generated/circ/v1/Admin.ts';
import { loadServices } from '../../../proto/load.ts';
import { AnswerStream } from '../../../shared-tier/admin/answer-stream.ts';
import { hungUp } from '../../../shared-tier/admin/hung-up.ts';
import { watchFetches } from '../../../shared-tier/admin/watch-fetches.ts';
import { adminOf } from '../../support/house-admin.ts';
import { circctl } from '../../support/run-circctl.ts';

/** An admin service of these methods only. */
async function serving(handlers: Partial<AdminHandlers>) {
  const server = new Server();
  const { Admin } = loadServices();
  const rest = Object.keys(Admin.service).map((name) => [name, () => undefined]);
  server.addService(Admin.service, { ...Object.fromEntries(rest), ...handlers } as UntypedServiceImplementation);
  const { promise, resolve } = Promise.withResolvers<number>();
  server.bindAsync('127.0.0.1:0', ServerCredentials.createInsecure(), (_error, port) => resolve(port));
  const port = await promise;
  return { host: '127.0.0.1', port, [Symbol.dispose]: () => server.forceShutdown() };
}

test('a watch ends after a while, and circctl begins another as long as it is let in', async () => {
  let watches = 0;
  using it = await serving({
    WatchFetches: (call) => {
      watches += 1;
      if (watches > 3) call.emit('error', Object.assign(new Error('no more'), { code: 7 }));
      else void watchFetches({ list: () => [] }, new AnswerStream(call), 1).then(() => call.end());
    },
  });
  const env = { CIRC_SHARED_TIER: `127.0.0.1:${it.port}` };
  const { out, err, code } = await circctl(['fetches', '--watch', '--json'], { env });
  expect(out.trim().split('\n')).toHaveLength(3);
  expect([watches, code]).toEqual([4, 1]);
  expect(err).toContain('no more');
});

test('who calls and hangs up, or whose deadline is over, ends what it has called for', async () => {
  const called = Promise.withResolvers<AbortSignal>();
  using it = await serving({ Evict: (call) => called.resolve(hungUp(call)) });
  using admin = adminOf(it);
  const evicting = admin.evict({ all: true }, 500);
  const signal = await called.promise;
  expect(signal.aborted).toBe(false);
  await expect(evicting).rejects.toMatchObject({ code: 'UNAVAILABLE' });
  await expect.poll(() => signal.aborted).toBe(true);
});
