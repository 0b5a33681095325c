import { describe, test } from 'vitest';
import { generatedBlob } from '../support/blobs.ts';
import { startHouse } from '../support/house.ts';

const SIZE = 300_000;

// Each waits for the ten seconds after which silence is a broken connection, so they wait together.
describe.concurrent('a blob of an origin that', () => {
  test('stalls in the middle is asked again for the rest, not for the beginning', async ({ expect }) => {
    await using house = await startHouse();
    const { digest } = await house.origin.addBlob('org/app', generatedBlob(SIZE));
    house.origin.once({ stallAt: 100_000 }, { kind: 'blob', method: 'GET' });
    const got = await house.blob('org/app', digest);
    expect(got).toMatchObject({ status: 200, isWhole: true, digest });
    expect(got.headersMs).toBeLessThan(2_000);
    expect(house.origin.bodyBytes(digest)).toBe(SIZE);
  }, 30_000);

  test('stalls before its headers is answered 503 in time', async ({ expect }) => {
    await using house = await startHouse();
    const { digest } = await house.origin.addBlob('org/app', generatedBlob(SIZE));
    house.origin.when({ kind: 'blob' }, { stallHeaders: true });
    const startedAt = performance.now();
    expect(await house.blob('org/app', digest)).toMatchObject({ status: 503 });
    expect(performance.now() - startedAt).toBeLessThan(25_000);
  }, 30_000);

  test('stalls at the first byte is answered with headers at once', async ({ expect }) => {
    await using house = await startHouse();
    const { digest } = await house.origin.addBlob('org/app', generatedBlob(SIZE));
    house.origin.when({ kind: 'blob', method: 'GET' }, { stallAt: 0 });
    const gone = new AbortController();
    const startedAt = performance.now();
    const response = await fetch(house.url('blobs', 'org/app', digest), { signal: gone.signal });
    expect(response.status).toBe(200);
    expect(performance.now() - startedAt).toBeLessThan(5_000);
    gone.abort();
  }, 30_000);
});
