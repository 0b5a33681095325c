import { describe, expect, test } from 'vitest';
import { startBlobStore } from './origin-blob-store.ts';
import { ask, readSocket } from './origin-client.ts';
import { BYTES, SIZE, moody } from './origin-moody.ts';

describe('moods of the answer', () => {
  test('ranges: false answers a range with the whole', async () => {
    await using it = await moody({ ranges: false });
    const answer = await ask(it.url, { headers: { range: 'bytes=10-19' } });
    expect(answer.status).toBe(200);
    expect(answer.headers).not.toHaveProperty('accept-ranges');
    expect(answer.body.equals(BYTES)).toBe(true);
  });

  test('shiftRange answers another range than asked', async () => {
    await using it = await moody({ shiftRange: 3 });
    const answer = await ask(it.url, { headers: { range: 'bytes=10-' } });
    expect(answer.headers['content-range']).toBe(`bytes 13-${SIZE - 1}/${SIZE}`);
    expect(answer.body.equals(BYTES.subarray(13))).toBe(true);
  });

  test('stallHeaders answers nothing and keeps the connection open', async () => {
    await using it = await moody({ stallHeaders: true });
    const pending = ask(it.url);
    await it.origin.arrived({ kind: 'blob' });
    expect((await ask(`${it.origin.url}/v2/`)).status).toBe(200);
    expect(it.origin.requests[0]).toMatchObject({ status: 0, endedAt: undefined });
    await it.origin.down();
    expect((await pending).status).toBe(0);
  });

  test('resetHeaders resets instead of answering', async () => {
    await using it = await moody({ resetHeaders: true });
    expect(await readSocket(it.url)).toEqual({ bytes: 0, text: '', error: 'ECONNRESET' });
  });

  test('headersDelayMs lets the headers wait', async () => {
    await using it = await moody({ headersDelayMs: 100 });
    const begin = performance.now();
    expect((await ask(it.url)).status).toBe(200);
    expect(performance.now() - begin).toBeGreaterThanOrEqual(99);
  });

  test.each([
    ['none', undefined],
    ['wrong', `sha256:${'5'.repeat(64)}`],
    ['invalid', 'sha256:not-a-digest'],
  ] as const)('digestHeader %s', async (digestHeader, expected) => {
    await using it = await moody({ digestHeader });
    const answer = await ask(it.url);
    expect(answer.headers['docker-content-digest']).toBe(expected);
    expect(answer.body.equals(BYTES)).toBe(true);
  });

  test.each([401, 403, 404, 429, 500, 503])('status %i with headers in place of content', async (status) => {
    await using it = await moody({ status, headers: { 'retry-after': '7' } });
    const answer = await ask(it.url);
    expect(answer).toMatchObject({ status, headers: { 'retry-after': '7', 'content-type': 'application/json' } });
    expect(it.origin.bodyBytes(it.digest)).toBe(0);
  });

  test('html answers 200 with a page', async () => {
    await using it = await moody({ html: true });
    const answer = await ask(it.url);
    expect([answer.status, answer.headers['content-type']]).toEqual([200, 'text/html; charset=utf-8']);
    expect(answer.body.toString()).toContain('blocked');
  });

  test('loginRedirect leads to a page of HTML, its own or another', async () => {
    await using it = await moody({ loginRedirect: true });
    expect(await ask(it.url)).toMatchObject({ status: 302, headers: { location: '/login' } });
    expect(await (await fetch(it.url)).text()).toContain('Please log in');
    it.origin.mood = { loginRedirect: 'http://login.test/' };
    expect(await ask(it.url)).toMatchObject({ status: 302, headers: { location: 'http://login.test/' } });
  });

  test('strictAccept hides a manifest from who does not name its type', async () => {
    await using it = await moody({ strictAccept: true });
    const { manifest } = await it.origin.addImage('org/app', 'v1', { layers: [] });
    const url = `${it.origin.url}/v2/org/app/manifests/v1`;
    expect((await ask(url, { headers: { accept: 'application/json' } })).status).toBe(404);
    expect((await ask(url, { headers: { accept: `application/json, ${manifest.mediaType};q=0.5` } })).status).toBe(200);
  });
});

describe('a redirect', () => {
  test('leads to a store that has the same bytes, with ranges', async () => {
    await using it = await moody();
    await using store = await startBlobStore(it.origin);
    it.origin.mood = { redirectTo: store };
    const answer = await fetch(it.url, { headers: { range: 'bytes=5-9' } });
    expect(answer.status).toBe(206);
    expect(Buffer.from(await answer.arrayBuffer()).equals(BYTES.subarray(5, 10))).toBe(true);
    expect(store.bodyBytes(it.digest)).toBe(5);
    expect(it.origin.count({ kind: 'blob', status: 307 })).toBe(1);
  });

  test('to a store shows credentials that were carried along', async () => {
    await using it = await moody();
    await using store = await startBlobStore(it.origin);
    const url = store.locate(`/v2/org/app/blobs/${it.digest}`);
    expect((await ask(url, { headers: { authorization: 'Bearer x' } })).status).toBe(400);
  });

  test('to a store of signed URLs is good for GET with the signature only', async () => {
    await using it = await moody();
    await using store = await startBlobStore(it.origin, { signed: true });
    it.origin.mood = { redirectTo: store, redirectStatus: 302 };
    const { status, headers } = await ask(it.url, { method: 'HEAD' });
    expect(status).toBe(302);
    const location = String(headers.location);
    expect((await ask(location, { method: 'HEAD' })).status).toBe(403);
    expect((await ask(String(location.split('?')[0]))).status).toBe(403);
    expect((await ask(location)).body.equals(BYTES)).toBe(true);
  });

  test('to a base URL keeps the path', async () => {
    await using it = await moody();
    it.origin.mood = { redirectTo: 'http://elsewhere.test:1' };
    expect((await ask(it.url)).headers.location).toBe(`http://elsewhere.test:1/v2/org/app/blobs/${it.digest}`);
  });

  test('may end at a store in a mood of its own', async () => {
    await using it = await moody();
    await using store = await startBlobStore(it.origin);
    store.once({ truncateAt: 10 });
    const url = store.locate(`/v2/org/app/blobs/${it.digest}`);
    expect((await ask(url)).body.byteLength).toBe(10);
    expect((await ask(url)).body.byteLength).toBe(SIZE);
  });
});

describe('moods in force', () => {
  test('once holds for the next request only, or the next few', async () => {
    await using it = await moody();
    it.origin.once({ status: 503 });
    it.origin.once({ status: 429 }, { kind: 'blob' }, 2);
    const statuses: number[] = [];
    for (let index = 0; index < 4; index++) statuses.push((await ask(it.url)).status);
    // The later rule wins where both apply, and both are used up by it.
    expect(statuses).toEqual([429, 429, 200, 200]);
  });

  test('when holds for what it names: one digest, one method, one kind', async () => {
    await using it = await moody();
    const other = await it.origin.addBlob('org/app', Buffer.from('other'));
    it.origin.when({ digest: it.digest, method: 'HEAD' }, { status: 401 });
    expect((await ask(it.url, { method: 'HEAD' })).status).toBe(401);
    expect((await ask(it.url)).status).toBe(200);
    expect((await ask(`${it.origin.url}/v2/org/app/blobs/${other.digest}`, { method: 'HEAD' })).status).toBe(200);
  });

  test('a manifest asked for by tag is met by moods for its digest', async () => {
    await using it = await moody();
    const { manifest } = await it.origin.addImage('org/app', 'v1', { layers: [] });
    it.origin.when({ digest: manifest.digest }, { status: 404 });
    expect((await ask(`${it.origin.url}/v2/org/app/manifests/v1`)).status).toBe(404);
  });

  test('calm ends all of them', async () => {
    await using it = await moody({ status: 500 });
    it.origin.when({ kind: 'blob' }, { html: true });
    it.origin.calm();
    expect((await ask(it.url)).body.equals(BYTES)).toBe(true);
  });

  test('/v2/ is met only by moods that name it', async () => {
    await using it = await moody({ status: 500 });
    expect((await ask(`${it.origin.url}/v2/`)).status).toBe(200);
    it.origin.when({ kind: 'base' }, { status: 503 });
    expect((await ask(`${it.origin.url}/v2/`)).status).toBe(503);
  });
});
