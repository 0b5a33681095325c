import { recordsContract } from '../../contracts/records.ts';
import { s3Store } from './fixtures.ts';

recordsContract('a bucket', async () => {
  const it = await s3Store();
  return {
    records: it.records,
    put: (digest, bytes) => it.store.put(digest, bytes),
    remove: (digest) => it.store.delete(digest),
    reopen: async () => (await it.another()).records,
    failures: it.failures,
    [Symbol.asyncDispose]: () => it[Symbol.asyncDispose](),
  };
});
