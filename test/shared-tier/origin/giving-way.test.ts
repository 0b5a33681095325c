import { expect, test } from 'vitest';
import { givingWay } from '../../../shared-tier/origin/giving-way.ts';

test('who breaks off a body by the only connection lets go of what it comes from', async () => {
  const ended = Promise.withResolvers<undefined>();
  async function* pieces() {
    try {
      yield Buffer.from('piece');
      yield Buffer.from('another');
    } finally {
      ended.resolve(undefined);
    }
  }
  const body = givingWay(pieces(), () => false);
  await body.next();
  await body.return();
  expect(await ended.promise).toBe(undefined);
});
