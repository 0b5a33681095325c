import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { parseRegistry } from '../../oci/reference.ts';
import { ConfigError } from '../../service/env.ts';
import { parseOriginsFile, readOriginsFile, registryNames } from '../../service/origins-file.ts';
import { tmpDir } from '../support/tmp-dir.ts';

/** The example of the contract, all keys of it. */
const EXAMPLE = `
default: docker.io
allow: ["*"]
deny: []
push: listed
whenOriginIsDown: serve-public
denyNetworks: [10.0.0.0/8, "fd00::/8"]
proxy: http://egress:3128
registries:
  registry.lab:
    endpoint: http://127.0.0.1:5000
    ca: /etc/circ/lab-ca.pem
    tokenHosts: [auth.lab]
    redirectHosts: ["minio.lab:9000"]
    credentialsFile: /etc/circ/lab.json
    tagTtl: 10s
    maxConnections: 8
    bandwidth: 200MiB/s
`;

function problemsOf(yaml: string): readonly string[] {
  try {
    parseOriginsFile(yaml);
  } catch (error) {
    if (error instanceof ConfigError) return error.problems;
    throw error;
  }
  return [];
}

describe('parseOriginsFile', () => {
  test('reads all keys of the contract', () => {
    const file = parseOriginsFile(EXAMPLE);
    expect(file).toMatchObject({
      default: 'docker.io',
      allow: ['*'],
      denyNetworks: ['10.0.0.0/8', 'fd00::/8'],
      proxy: 'http://egress:3128',
    });
    expect([...file.registries]).toEqual([
      [
        'registry.lab',
        {
          endpoint: new URL('http://127.0.0.1:5000'),
          ca: '/etc/circ/lab-ca.pem',
          tokenHosts: ['auth.lab'],
          redirectHosts: ['minio.lab:9000'],
          credentialsFile: '/etc/circ/lab.json',
          tagTtl: 10_000,
          maxConnections: 8,
          bandwidth: 200 * 2 ** 20,
        },
      ],
    ]);
    expect(file.push).toBe('listed');
  });

  test.each(['', '# nothing\n', '{}', 'null'])('gives the defaults for %j', (yaml) => {
    const file = parseOriginsFile(yaml);
    expect(file).toMatchObject({ default: 'docker.io', allow: ['*'], deny: [], denyNetworks: [] });
    expect(file.registries.size).toBe(0);
  });

  test('gives a registry without keys the defaults of the contract', () => {
    for (const yaml of ['registries: {quay.io: {}}', 'registries:\n  quay.io:\n']) {
      const entry = parseOriginsFile(yaml).registries.get(parseRegistry('quay.io'));
      expect(entry).toMatchObject({ tagTtl: 0, maxConnections: 16, tokenHosts: [], redirectHosts: [] });
    }
  });

  test('knows a registry under its one spelling, however it is written', () => {
    const file = parseOriginsFile('registries: {"Registry-1.docker.io": {}, "QUAY.io:443": {}}');
    expect([...file.registries.keys()]).toEqual(['docker.io', 'quay.io']);
  });

  test('tells every mistake with its path', () => {
    const yaml = `
default: "not a host"
allow: all
push: maybe
denyNetworks: [10.0.0.0/99]
proxy: egress
surprise: 1
registries:
  "http://x":
    endpoint: 5
  y.test:
    endpoint: ftp://y
    tagTtl: soon
    maxConnections: 0
    bandwidth: fast
    tokenHosts: [a/b]
    typo: true
`;
    const problems = problemsOf(yaml);
    for (const path of [
      'default',
      'allow',
      'push',
      'denyNetworks',
      'proxy',
      'surprise',
      'http://x',
      'registries.y.test.endpoint',
      'registries.y.test.tagTtl',
      'registries.y.test.maxConnections',
      'registries.y.test.bandwidth',
      'registries.y.test.tokenHosts',
      'typo',
    ]) {
      expect(
        problems.filter((line) => line.startsWith('CIRC_ORIGINS: ') && line.includes(path)),
        `of ${path}`,
      ).not.toEqual([]);
    }
  });

  test.each(['http://x:5000/v2', 'https://user@x', 'https://x?a', 'https://x#a'])(
    'takes of an endpoint nothing that it would not heed: %s',
    (endpoint) => {
      const problems = problemsOf(JSON.stringify({ registries: { x: { endpoint } } }));
      expect(problems).toEqual([expect.stringMatching(/^CIRC_ORIGINS: registries\.x\.endpoint: expected http/)]);
    },
  );

  test('takes 0 for 0s', () => {
    expect(parseOriginsFile('registries: {x: {tagTtl: 0}}').registries.get(parseRegistry('x'))?.tagTtl).toBe(0);
  });

  test('takes no registry twice, however it is written', () => {
    const problems = problemsOf('registries: {docker.io: {}, index.docker.io: {}}');
    expect(problems).toEqual(['CIRC_ORIGINS: registries: two keys name the same registry']);
  });

  test.each(['a: b: c', '[1, 2]', 'text', '\t- x', '&a [*a]'])('refuses what is no mapping: %j', (yaml) => {
    expect(problemsOf(yaml)).toEqual([expect.stringMatching(/^CIRC_ORIGINS: /)]);
  });
});

describe('readOriginsFile', () => {
  test('reads a file, or gives the defaults without one', async () => {
    await using directory = await tmpDir();
    const path = join(directory.path, 'origins.yaml');
    await writeFile(path, EXAMPLE);
    expect(readOriginsFile(path)).toEqual(parseOriginsFile(EXAMPLE));
    expect(readOriginsFile(undefined)).toEqual(parseOriginsFile(''));
  });
});

describe('registryNames', () => {
  test('know the listed registries in every spelling, and nothing else', () => {
    const names = registryNames(parseOriginsFile('default: quay.io\nregistries: {registry: {}, "a.test:5000": {}}'));
    expect(names.default).toBe('quay.io');
    expect(['registry', 'REGISTRY', 'a.test:5000'].map((name) => names.isListed(name))).toEqual([true, true, true]);
    expect(['other', 'a.test', '', '..', 'not a host', 'registry/x'].map((name) => names.isListed(name))).not.toContain(
      true,
    );
  });
});
