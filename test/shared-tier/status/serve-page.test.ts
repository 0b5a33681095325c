import { createHash } from 'node:crypto';
import { type IncomingHttpHeaders, request } from 'node:http';
import { text } from 'node:stream/consumers';
import { describe, expect, test } from 'vitest';
import { generatedBlob } from '../../support/blobs.ts';
import { adminOf, preheat } from '../../support/house-admin.ts';
import { REGISTRY, type House, startHouse } from '../../support/house.ts';

const APP = 'org/app';

interface Page {
  readonly status: number;
  readonly headers: IncomingHttpHeaders;
  readonly body: string;
}

/** GET of the tier's status page. */
async function pageOf(house: House, options: { localAddress?: string; headers?: Record<string, string> } = {}) {
  const [, url = ''] = house.statusUrls;
  const { promise, resolve, reject } = Promise.withResolvers<Page>();
  const asking = request(url, { agent: false, ...options }, (response) => {
    text(response).then(
      (body) => resolve({ status: response.statusCode ?? 0, headers: response.headers, body }),
      reject,
    );
  });
  asking.on('error', reject);
  asking.end();
  return await promise;
}

async function filled(): Promise<House> {
  const house = await startHouse();
  await house.origin.addImage(APP, 'v1', { layers: [generatedBlob(300_000)] });
  using admin = adminOf(house.tierGrpc);
  await preheat(admin, { image: `${REGISTRY}/${APP}:v1` });
  await house.pull(APP, 'v1');
  return house;
}

describe('the status page', () => {
  test('shows numbers, charts, images and nodes', async () => {
    await using house = await filled();
    const { status, headers, body } = await pageOf(house);
    expect(status).toBe(200);
    expect(headers['content-type']).toBe('text/html; charset=utf-8');
    expect(body).toMatch(/<dt>bytes saved<\/dt><dd>\d/);
    expect(body).toMatch(/<dt>store<\/dt><dd>293(\.\d)? KiB of 200 GiB<\/dd>/);
    expect(body).toMatch(/<dt>agents connected<\/dt><dd>1<\/dd>/);
    expect(body.match(/<svg /g)).toHaveLength(2);
    expect(body).toContain(`<td>${REGISTRY}/${APP}</td><td class="number">293.`); // largest
    expect(body).toContain(`<td>${REGISTRY}/${APP}</td><td class="number">2.0</td>`); // hottest: one preheating, one pull
    expect(body).toContain('<p>127.0.0.1</p>'); // the node
    expect(body).toContain('width=device-width');
    expect(body).toContain('color-scheme: light dark');
  });

  test('shows fetches under way with bars', async () => {
    await using house = await startHouse();
    const { layers } = await house.origin.addImage(APP, 'v1', { layers: [generatedBlob(500_000)] });
    const digest = layers[0]?.digest ?? '';
    house.origin.when({ digest, method: 'GET' }, { stallAt: 250_000 });
    const hangUp = new AbortController();
    const downloading = house.blob(APP, digest, { signal: hangUp.signal });
    await expect.poll(async () => (await pageOf(house)).body).toContain('<progress max="500000" value="250000">');
    hangUp.abort();
    await downloading;
  });

  test('loads nothing, runs nothing, and lets nobody put it into a frame', async () => {
    await using house = await filled();
    const { headers, body } = await pageOf(house);
    const style = /<style>([^]*?)<\/style>/.exec(body)?.[1] ?? '';
    const hash = createHash('sha256').update(style).digest('base64');
    expect(headers['content-security-policy']).toBe(
      `default-src 'none'; style-src 'sha256-${hash}'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'`,
    );
    expect(headers).toMatchObject({ 'x-content-type-options': 'nosniff', 'cache-control': 'no-store' });
    expect(body).not.toMatch(/<script|<link|<img|<iframe|\ssrc=|\shref=|\sstyle=|\son\w+=|url\(|@import/i);
  });

  test.each<[string, Parameters<typeof pageOf>[1]]>([
    ['from another address', { localAddress: '127.0.0.2' }],
    ['through a proxy', { headers: { 'x-forwarded-for': '10.0.0.1' } }],
    ['through another proxy', { headers: { forwarded: 'for=10.0.0.1' } }],
    ['by a name that somebody made to lead here', { headers: { host: 'evil.example:5062' } }],
  ])('has no names of images and nodes for who comes %s', async (_how, options) => {
    await using house = await filled();
    const { status, body } = await pageOf(house, options);
    expect(status).toBe(200);
    expect(body).toContain('<dt>bytes saved</dt>');
    expect(body).toContain('kubectl port-forward');
    for (const name of [APP, REGISTRY, '<p>127.0.0.1</p>', 'Largest']) expect(body).not.toContain(name);
  });

  test('is readable by who comes by a usual name', async () => {
    await using house = await filled();
    for (const host of ['localhost:5062', '127.0.0.1', '[::1]:5062']) {
      expect((await pageOf(house, { headers: { host } })).body).toContain(APP);
    }
  });
});
