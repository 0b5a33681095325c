import { expect, test } from 'vitest';
import { digestOf } from '../../../oci/digest.ts';
import { httpServer } from '../fixtures.ts';
import { downloads, isWhole, small } from './downloads.ts';
import { readBytes } from '../../support/blobs.ts';

test('a signed URL that has ended in the middle is asked for again, and the credentials stay at the registry', async () => {
  const bytes = readBytes(small);
  const digest = digestOf(bytes);
  let signed = 0;
  const shown: (string | undefined)[] = [];
  // Each URL is good for one request, as those are whose time is over when a broken connection is resumed.
  await using store = await httpServer((request, response) => {
    shown.push(request.headers.authorization);
    const { searchParams } = new URL(request.url ?? '', 'http://store');
    if (searchParams.get('signature') !== String(signed)) {
      response.writeHead(403).end();
      return;
    }
    const from = Number(/bytes=(\d+)-/.exec(request.headers.range ?? '')?.[1] ?? 0);
    const range = `bytes ${from}-${bytes.length - 1}/${bytes.length}`;
    response.writeHead(206, { 'content-range': range, 'content-length': bytes.length - from });
    if (signed > 1) response.end(bytes.subarray(from));
    else response.write(bytes.subarray(from, from + 1_000_000), () => response.destroy());
    signed += 1;
  });
  await using registry = await httpServer((_request, response) => {
    response.writeHead(307, { location: `${store.url}/blob?signature=${signed}` }).end();
  });
  await using it = await downloads(registry, { entry: { redirectHosts: [store.host] } });

  expect(await isWhole(await it.run(digest), digest)).toBe(true);

  expect([registry.requests.length, store.requests.length]).toEqual([3, 3]);
  expect(it.receivedBytes).toBe(bytes.length);
  expect(new Set(shown)).toEqual(new Set([undefined]));
});
