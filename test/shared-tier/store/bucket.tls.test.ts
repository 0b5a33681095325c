import { once } from 'node:events';
import { createServer } from 'node:https';
import type { AddressInfo } from 'node:net';
import { expect, test } from 'vitest';
import { BufferPool } from '../../../content/buffer-pool.ts';
import { Bucket, type BucketConfig } from '../../../shared-tier/store/bucket.ts';
import { MIB, sample } from '../../content/fixtures.ts';
import { TestCa } from '../../support/certificates.ts';

const { bytes: BYTES } = sample(3 * MIB, 1);
const RANGE = { start: 5, end: BYTES.length };
const ca = new TestCa();

/** A bucket that has one object, over TLS. */
async function bucketOverTls(certificate = ca.issue({ names: ['localhost'] })) {
  const server = createServer(certificate, (_request, response) => {
    const headers = {
      'content-range': `bytes 5-${BYTES.length - 1}/${BYTES.length}`,
      'content-length': BYTES.length - 5,
    };
    response.writeHead(206, headers).end(BYTES.subarray(5));
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const config: BucketConfig = {
    bucket: 'bucket',
    prefix: '',
    endpoint: `https://localhost:${(server.address() as AddressInfo).port}`,
    region: 'us-east-1',
    pathStyle: true,
    ca: ca.pem,
    credentials: { accessKeyId: 'key', secretAccessKey: 'secret' },
  };
  const pool = new BufferPool();
  return {
    async read(more: Partial<BucketConfig> = {}): Promise<Buffer> {
      using bucket = new Bucket({ ...config, ...more });
      using stream = await bucket.stream('key', RANGE, { pool, signal: new AbortController().signal });
      const pieces: Buffer[] = [];
      for await (const { bytes, release } of stream) {
        pieces.push(Buffer.from(bytes));
        release();
      }
      return Buffer.concat(pieces);
    },
    [Symbol.asyncDispose]: async () => {
      server.closeAllConnections();
      server.close();
      await once(server, 'close');
    },
  };
}

test('many bytes of a bucket come over TLS from who has a certificate of the authority that is trusted', async () => {
  await using it = await bucketOverTls();
  expect((await it.read()).equals(BYTES.subarray(5))).toBe(true);
  await expect(it.read({ ca: undefined })).rejects.toMatchObject({ code: 'UNAVAILABLE' });
  await expect(it.read({ ca: new TestCa('another').pem })).rejects.toMatchObject({ code: 'UNAVAILABLE' });
});

test('many bytes of a bucket are not read from who has a certificate of another name', async () => {
  await using it = await bucketOverTls(ca.issue({ names: ['elsewhere.test'] }));
  await expect(it.read()).rejects.toMatchObject({ code: 'UNAVAILABLE' });
});
