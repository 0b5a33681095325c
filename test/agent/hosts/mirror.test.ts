import { describe, expect, test } from 'vitest';
import { authorityOf, isSameHost, mirrorLines, mirrorUrl } from '../../../agent/hosts/mirror.ts';

describe('mirrorUrl', () => {
  test.each([
    ['127.0.0.1', 'http://127.0.0.1:5050'],
    ['localhost', 'http://localhost:5050'],
    ['::1', 'http://[::1]:5050'],
    ['10.0.0.1', 'http://10.0.0.1:5050'],
    ['0.0.0.0', 'http://127.0.0.1:5050'],
    ['::', 'http://[::1]:5050'],
  ])('of %s is %s', (host, url) => {
    expect(mirrorUrl({ host, port: 5050 })).toBe(url);
  });

  test('is https when the agent speaks that', () => {
    expect(mirrorUrl({ host: '127.0.0.1', port: 5050 }, 'https')).toBe('https://127.0.0.1:5050');
  });
});

describe('mirrorLines', () => {
  test('are what containerd of every version accepts', () => {
    const lines = ['[host."http://127.0.0.1:5050"]', '  capabilities = ["pull", "resolve"]', '  dial_timeout = "5s"'];
    expect(mirrorLines({ url: 'http://127.0.0.1:5050' })).toEqual(lines);
  });

  test('name the authority of https', () => {
    expect(mirrorLines({ url: 'https://a:1', caFile: '/a "b"\\c' }).at(-1)).toBe('  ca = "/a \\"b\\"\\\\c"');
  });
});

test.each([
  ['http://127.0.0.1:5050', '127.0.0.1:5050'],
  ['https://[::1]:80/v2', '[::1]:80'],
  ['Registry.Example', 'registry.example'],
])('authorityOf %s is %s', (url, authority) => {
  expect(authorityOf(url)).toBe(authority);
});

test.each([
  ['http://127.0.0.1:5050', 'http://127.0.0.1:5050/v2/', true],
  ['registry.example', 'https://registry.example:443', true],
  ['http://127.0.0.1:5050', 'https://127.0.0.1:5050', false],
  ['http://127.0.0.1:5050', 'http://127.0.0.1:5051', false],
  ['http://127.0.0.1:5050', 'http://127.0.0.1:5050/v2/mirror', false],
  ['http://[', 'http://[', true],
])('%s and %s are the same host: %s', (one, other, isSame) => {
  expect(isSameHost(one, other)).toBe(isSame);
});
