import { describe, expect, test } from 'vitest';
import { OciError } from '../../../oci/error.ts';
import { parseRegistry } from '../../../oci/reference.ts';
import { parseOriginsFile } from '../../../service/origins-file.ts';
import { type Origin, Origins } from '../../../shared-tier/origin/origin.ts';

function originOf(name: string, file: Record<string, unknown> = {}): Origin {
  return new Origins(parseOriginsFile(JSON.stringify(file))).get(parseRegistry(name));
}

function isServed(name: string, file: Record<string, unknown> = {}): boolean {
  try {
    originOf(name, file);
    return true;
  } catch (error) {
    if (error instanceof OciError && error.code === 'NAME_UNKNOWN') return false;
    throw error;
  }
}

describe('registries that nobody listed', () => {
  test('are reached by https at their own name', () => {
    expect(originOf('quay.io').endpoint.href).toBe('https://quay.io/');
  });

  test.each(['docker.io', 'index.docker.io', 'registry-1.docker.io', 'DOCKER.IO', 'docker.io:443'])(
    'are Docker Hub under the name %s',
    (name) => {
      const { registry, endpoint, isTokenHost } = originOf(name);
      expect([registry, endpoint.href]).toEqual(['docker.io', 'https://registry-1.docker.io/']);
      expect(isTokenHost(new URL('https://auth.docker.io/token'))).toBe(true);
    },
  );

  test.each(['quay.io:5000', 'quay.io:80', 'localhost', 'localhost:5000', 'registry', '127.0.0.1', '127.0.0.1:5000'])(
    'are refused under the name %s',
    (name) => {
      expect(isServed(name)).toBe(false);
    },
  );

  test.each(['[::1]:5000', '[2606:4700::1111]', '8.8.8.8', '0x7f.1', '2130706433', 'a.svc', 'a.internal'])(
    'are refused under the name %s',
    (name) => {
      expect(isServed(name)).toBe(false);
    },
  );

  test('are trusted with nothing', () => {
    const { isTrusted, isTokenHost } = originOf('quay.io');
    const urls = ['https://quay.io/', 'http://quay.io/', 'https://127.0.0.1/'].map((url) => new URL(url));
    expect(urls.filter((url) => isTrusted(url) || isTokenHost(url))).toEqual([]);
  });

  test('share one label, so that requests cannot make up label values', () => {
    expect(['a.example.com', 'b.example.com', 'evil.example'].map((name) => originOf(name).label)).toEqual([
      'other',
      'other',
      'other',
    ]);
  });

  test('have their names as labels if everybody knows them', () => {
    expect(['docker.io', 'quay.io', 'ghcr.io'].map((name) => originOf(name).label)).toEqual([
      'docker.io',
      'quay.io',
      'ghcr.io',
    ]);
  });
});

describe('listed registries', () => {
  test('are where their endpoint says', () => {
    const origin = originOf('registry.lab', { registries: { 'registry.lab': { endpoint: 'http://127.0.0.1:5000' } } });
    expect([origin.endpoint.href, origin.label]).toEqual(['http://127.0.0.1:5000/', 'registry.lab']);
  });

  test.each(['registry', 'localhost:5000', '127.0.0.1:5000', '[::1]:5000'])(
    'may be called %s with an endpoint',
    (name) => {
      expect(isServed(name, { registries: { [name]: { endpoint: 'http://127.0.0.1:5000' } } })).toBe(true);
    },
  );

  test.each(['registry', 'localhost:5000', '127.0.0.1:5000'])('may not be called %s without one', (name) => {
    expect(isServed(name, { registries: { [name]: {} } })).toBe(false);
  });

  test('may have another port without an endpoint', () => {
    expect(originOf('quay.io:8443', { registries: { 'quay.io:8443': {} } }).endpoint.href).toBe(
      'https://quay.io:8443/',
    );
  });

  test('are found under any spelling of their key', () => {
    const file = { registries: { 'Registry.Lab:443': { endpoint: 'http://127.0.0.1:5000' } } };
    expect(originOf('registry.lab', file).endpoint.port).toBe('5000');
  });

  test('keep the limits that were written down', () => {
    const limits = { tagTtl: '90s', maxConnections: 3, bandwidth: '1MiB/s' };
    const origin = originOf('quay.io', { registries: { 'quay.io': limits } });
    expect(origin).toMatchObject({ tagTtlMs: 90_000, maxConnections: 3, bandwidthBytesPerSecond: 1024 * 1024 });
  });
});

describe('what a listed registry may lead to', () => {
  const file = {
    registries: {
      'registry.lab': {
        endpoint: 'https://10.0.0.5',
        tokenHosts: ['Auth.Lab', 'login.lab:8443', 'id.lab:443'],
        redirectHosts: ['minio.lab:9000', '10.0.0.9'],
      },
    },
  };
  const { isTrusted, isTokenHost } = originOf('registry.lab', file);

  test.each(['https://10.0.0.5/v2/', 'https://10.0.0.5:443/', 'http://minio.lab:9000/x', 'https://10.0.0.9:1234/'])(
    'is %s',
    (url) => {
      expect(isTrusted(new URL(url))).toBe(true);
    },
  );

  // The endpoint is one port of that host. What listens on its other ports is somebody else.
  test.each([
    'https://10.0.0.5:6443/',
    'http://10.0.0.5/',
    'http://10.0.0.5:2379/',
    'https://minio.lab/',
    'https://10.0.0.6/',
  ])('is not %s', (url) => {
    expect(isTrusted(new URL(url))).toBe(false);
  });

  test.each(['https://auth.lab/token', 'https://auth.lab:444/token', 'https://login.lab:8443/', 'https://id.lab/'])(
    'is a token realm at %s',
    (url) => {
      expect(isTokenHost(new URL(url))).toBe(true);
    },
  );

  test.each(['https://login.lab/', 'https://id.lab:8443/', 'https://minio.lab:9000/', 'https://xauth.lab/'])(
    'is no token realm at %s',
    (url) => {
      expect(isTokenHost(new URL(url))).toBe(false);
    },
  );
});

describe('allow and deny', () => {
  test.each([
    [{ allow: [] }, 'quay.io', false],
    [{ allow: ['quay.io'] }, 'quay.io', true],
    [{ allow: ['quay.io'] }, 'ghcr.io', false],
    [{ allow: ['*.example.com'] }, 'a.example.com', true],
    [{ allow: ['*.example.com'] }, 'a.b.example.com', true],
    [{ allow: ['*.example.com'] }, 'example.com', false],
    [{ allow: ['*.example.com'] }, 'aXexample.com', false],
    [{ allow: ['quay.io'] }, 'quay.io.evil.example', false],
    [{ allow: ['quay.io'] }, 'notquay.io', false],
    [{ deny: ['quay.io'] }, 'quay.io', false],
    [{ deny: ['QUAY.io'] }, 'quay.io', false],
    [{ deny: ['quay.io:443'] }, 'quay.io', false],
    [{ deny: ['*.io'] }, 'docker.io', false],
    [{ deny: ['index.docker.io'] }, 'docker.io', false],
    [{ allow: ['registry-1.docker.io'] }, 'docker.io', true],
    [{ deny: ['evil.example'] }, 'quay.io', true],
    [{ allow: ['quay.io'], deny: ['quay.io'] }, 'quay.io', false],
    [{ deny: ['quay.io'], registries: { 'quay.io': {} } }, 'quay.io', false],
    [{ allow: ['(a+)+$'] }, 'aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa.io', false],
  ])('%j: %s is served: %s', (file, name, served) => {
    expect(isServed(name, file)).toBe(served);
  });
});

test('the metrics know beforehand every name that they will have for a registry', () => {
  const origins = new Origins(parseOriginsFile(JSON.stringify({ registries: { 'registry.lab': {} } })));
  const names = ['registry.lab', 'docker.io', 'registry.of.somebody.example'];
  const labels = names.map((name) => origins.get(parseRegistry(name)).label);
  expect(labels).toEqual(['registry.lab', 'docker.io', 'other']);
  expect(origins.labels).toEqual(expect.arrayContaining(labels));
});
