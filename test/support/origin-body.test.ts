import { gunzipSync } from 'node:zlib';
import { describe, expect, test } from 'vitest';
import { ask, readSocket } from './origin-client.ts';
import { BYTES, SIZE, moody } from './origin-moody.ts';

describe('moods of the body', () => {
  test('truncateAt ends the connection early though Content-Length is whole', async () => {
    await using it = await moody({ truncateAt: 1000 });
    const answer = await ask(it.url);
    expect(answer).toMatchObject({ status: 200, headers: { 'content-length': String(SIZE) }, failure: 'ECONNRESET' });
    expect(answer.body.equals(BYTES.subarray(0, 1000))).toBe(true);
    expect(it.origin.bodyBytes(it.digest)).toBe(1000);
  });

  test('truncateAt ends with FIN, not with RST', async () => {
    await using it = await moody({ truncateAt: 1000 });
    // A bare socket tells them apart; node:http calls both ECONNRESET.
    const received = await readSocket(it.url);
    expect(received.error).toBeUndefined();
    expect(received.bytes).toBeGreaterThan(1000);
  });

  test('resetAt resets the connection after so many bytes', async () => {
    await using it = await moody({ resetAt: 1000 });
    const received = await readSocket(it.url);
    expect(received.error).toBe('ECONNRESET');
    expect((await ask(it.url)).body.equals(BYTES.subarray(0, 1000))).toBe(true);
  });

  test('stallAt sends so many bytes and keeps the connection open', async () => {
    await using it = await moody({ stallAt: 1000 });
    const response = await fetch(it.url);
    const reader = response.body?.getReader();
    let count = 0;
    while (count < 1000) count += (await reader?.read())?.value?.byteLength ?? 0;
    const next = reader?.read().then(
      () => 'read',
      () => 'broken',
    );
    // A whole exchange later there is still neither a byte nor an end.
    expect((await ask(`${it.origin.url}/v2/`)).status).toBe(200);
    expect(it.origin.requests[0]).toMatchObject({ bodyBytes: 1000, endedAt: undefined });
    await it.origin.down();
    expect([count, await next]).toEqual([1000, 'broken']);
  });

  test('stallAt 0 sends the headers alone', async () => {
    await using it = await moody({ stallAt: 0 });
    const response = await fetch(it.url);
    expect(response.headers.get('content-length')).toBe(String(SIZE));
    expect(it.origin.requests[0]).toMatchObject({ bodyBytes: 0, endedAt: undefined });
  });

  test('lie sends the right length with one byte wrong, in ranges too', async () => {
    await using it = await moody({ lie: true });
    const answer = await ask(it.url);
    expect(answer.headers['docker-content-digest']).toBe(it.digest);
    expect(differences(answer.body, BYTES)).toEqual([SIZE / 2]);
    const headers = { range: `bytes=${SIZE / 2 - 10}-` };
    const part = await ask(it.url, { headers });
    expect(differences(part.body, BYTES.subarray(SIZE / 2 - 10))).toEqual([10]);
    it.origin.mood = { lie: SIZE - 1 };
    expect(differences((await ask(it.url)).body, BYTES)).toEqual([SIZE - 1]);
  });

  test('longer and shorter change content and Content-Length alike', async () => {
    await using it = await moody({ longer: 5 });
    const longer = await ask(it.url);
    expect([longer.headers['content-length'], longer.body.byteLength]).toEqual([String(SIZE + 5), SIZE + 5]);
    it.origin.mood = { shorter: 5 };
    const shorter = await ask(it.url);
    expect([shorter.headers['content-length'], shorter.body.byteLength]).toEqual([String(SIZE - 5), SIZE - 5]);
  });

  test('overrun sends more than Content-Length announces', async () => {
    await using it = await moody({ overrun: 7 });
    const received = await readSocket(it.url, SIZE + 7);
    expect(received.text.endsWith('xxxxxxx')).toBe(true);
    expect(received.text).toContain(`content-length: ${SIZE}`);
  });

  test('bytesPerSecondPerConnection slows each connection by itself', async () => {
    await using it = await moody({ bytesPerSecondPerConnection: SIZE * 4 });
    const answers = await Promise.all([ask(it.url), ask(it.url), ask(it.url)]);
    await it.origin.idle();
    for (const answer of answers) expect(answer.body.equals(BYTES)).toBe(true);
    const ends = it.origin.requests.map(({ endedAt = 0 }) => endedAt);
    const durations = it.origin.requests.map(({ at }, index) => (ends[index] ?? 0) - at);
    // 250 ms each, and all three at the same time.
    expect(Math.min(...durations)).toBeGreaterThan(230);
    expect(Math.max(...it.origin.requests.map(({ at }) => at))).toBeLessThan(Math.min(...ends));
  });

  test('gzip compresses although identity was asked for', async () => {
    await using it = await moody({ gzip: true });
    const answer = await ask(it.url, { headers: { 'accept-encoding': 'identity' } });
    expect(answer.headers['content-encoding']).toBe('gzip');
    expect(answer.headers['content-length']).toBe(String(answer.body.byteLength));
    expect(gunzipSync(answer.body).equals(BYTES)).toBe(true);
  });

  test('noLength sends chunks without Content-Length', async () => {
    await using it = await moody({ noLength: true });
    const answer = await ask(it.url);
    expect(answer.headers).toMatchObject({ 'transfer-encoding': 'chunked' });
    expect(answer.headers).not.toHaveProperty('content-length');
    expect(answer.body.equals(BYTES)).toBe(true);
  });
});

function differences(actual: Buffer, expected: Buffer): number[] {
  expect(actual.byteLength).toBe(expected.byteLength);
  return [...expected.keys()].filter((index) => actual[index] !== expected[index]);
}
