import { writeFile } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import { describe, expect, test } from 'vitest';
import { AGENT_VARIABLES, readAgentConfig } from '../../agent/config.ts';
import { ConfigError } from '../../service/env.ts';
import { CertificateVolume, TestCa } from '../support/certificates.ts';
import { tmpDir } from '../support/tmp-dir.ts';

function problemsOf(env: Record<string, string>): readonly string[] {
  try {
    readAgentConfig(env);
  } catch (error) {
    if (error instanceof ConfigError) return error.problems;
    throw error;
  }
  return [];
}

/** The variables that something is wrong with. */
function names(env: Record<string, string>): string[] {
  return problemsOf(env).map((problem) => problem.split(':', 1).join());
}

describe('readAgentConfig', () => {
  test('gives the defaults of the contract', () => {
    expect(readAgentConfig({})).toMatchObject({
      listen: { host: '127.0.0.1', port: 5050 },
      statusListen: { host: '127.0.0.1', port: 5051 },
      sharedTier: { host: '127.0.0.1', port: 5060 },
      cacheDirectory: '/var/lib/circ/agent',
      cacheBytes: 20 * 2 ** 30,
      minFree: 0.2,
      admit: 'second-request',
      insecure: false,
      logLevel: 'info',
    });
  });

  test('reads what is set', () => {
    const env = {
      CIRC_AGENT_LISTEN: '[::1]:1',
      CIRC_SHARED_TIER: 'tier.circ:2',
      CIRC_AGENT_CACHE_DIR: 'cache',
      CIRC_AGENT_CACHE_SIZE: '1MiB',
      CIRC_AGENT_ADMIT: 'never',
      CIRC_INSECURE: 'true',
      CIRC_LOG_LEVEL: 'silent',
    };
    expect(readAgentConfig(env)).toMatchObject({
      listen: { host: '::1', port: 1 },
      sharedTier: { host: 'tier.circ', port: 2 },
      cacheDirectory: resolve('cache'),
      cacheBytes: 2 ** 20,
      admit: 'never',
      logLevel: 'silent',
    });
  });

  test('knows every variable of the contract that is the agent´s', () => {
    const listed = ['LISTEN', 'STATUS_LISTEN', 'TLS_CERT_FILE', 'TLS_KEY_FILE', 'CACHE_DIR', 'CACHE_SIZE', 'MIN_FREE'];
    const ours = [...listed, 'ADMIT', 'DELIVERY'].map((name) => `CIRC_AGENT_${name}`);
    const shared = ['SHARED_TIER', 'CONTAINERD_CERTS_DIR', 'ORIGINS', 'TIER_TOKEN_FILE', 'INSECURE'];
    const tls = ['TLS_CERT_FILE', 'TLS_KEY_FILE', 'TLS_CA_FILE'];
    const others = [...shared, ...tls, 'LOG_LEVEL'].map((name) => `CIRC_${name}`);
    expect(Object.keys(AGENT_VARIABLES).toSorted()).toEqual([...ours, ...others].toSorted());
  });

  test.each(['0.0.0.0:5050', '10.0.0.1:5050', '[::]:5050', 'node.example:5050'])(
    'refuses the mirror endpoint %s unless CIRC_INSECURE allows it',
    (listen) => {
      expect(problemsOf({ CIRC_AGENT_LISTEN: listen })).toEqual([
        expect.stringMatching(/^CIRC_AGENT_LISTEN: .*loopback/),
      ]);
      expect(problemsOf({ CIRC_AGENT_LISTEN: listen, CIRC_INSECURE: 'true' })).toEqual([]);
    },
  );

  test('tells mistakes of variables, of their combination and of the origins file at once', async () => {
    await using directory = await tmpDir();
    const path = join(directory.path, 'origins.yaml');
    await writeFile(path, 'default: "not a host"\nsurprise: 1');
    const problems = problemsOf({
      CIRC_AGENT_LISTEN: '0.0.0.0:5050',
      CIRC_AGENT_CACHE_SIZE: 'much',
      CIRC_AGENT_ADMIT: 'sometimes',
      CIRC_ORIGINS: path,
    });
    for (const each of ['CIRC_AGENT_LISTEN', 'CIRC_AGENT_CACHE_SIZE', 'CIRC_AGENT_ADMIT', 'default', 'surprise']) {
      expect(
        problems.filter((line) => line.includes(each)),
        `of ${each}`,
      ).toHaveLength(1);
    }
    expect(problems).toHaveLength(5);
  });

  test('manages one absolute directory of hosts.toml files, or none', () => {
    const values = ['', '/etc/containerd/certs.d/'].map((text) => ({ CIRC_CONTAINERD_CERTS_DIR: text }));
    const directories = values.map((env) => readAgentConfig(env).certsDirectory);
    expect(directories).toEqual([undefined, '/etc/containerd/certs.d']);
    for (const wrong of ['certs.d', '/etc/containerd/certs.d:/etc/docker/certs.d']) {
      expect(problemsOf({ CIRC_CONTAINERD_CERTS_DIR: wrong })).toEqual([
        expect.stringMatching(/^CIRC_CONTAINERD_CERTS_DIR: expected one absolute path/),
      ]);
    }
  });

  test('says which origins file cannot be read', () => {
    expect(problemsOf({ CIRC_ORIGINS: '/no/such/file' })).toEqual([
      expect.stringMatching(/^CIRC_ORIGINS: .*\/no\/such\/file/),
    ]);
  });

  describe('of TLS and identity', () => {
    const ca = new TestCa();

    async function withFiles() {
      const directory = await tmpDir();
      const { certFile, keyFile, caFile } = await new CertificateVolume(directory.path).write({
        ...ca.issue(),
        ca: ca.pem,
      });
      return { certFile, keyFile, caFile, [Symbol.asyncDispose]: () => directory[Symbol.asyncDispose]() };
    }

    test('wants TLS towards a shared tier beyond loopback, and at a mirror endpoint beyond it', async () => {
      await using files = await withFiles();
      const env = { CIRC_SHARED_TIER: 'tier.circ.svc:5060', CIRC_AGENT_LISTEN: '0.0.0.0:5050' };
      expect(names(env)).toEqual(['CIRC_AGENT_LISTEN', 'CIRC_SHARED_TIER']);
      expect(problemsOf({ ...env, CIRC_INSECURE: 'true' })).toEqual([]);
      const CIRC_TLS_CA_FILE = files.caFile;
      expect(names({ ...env, CIRC_TLS_CA_FILE })).toEqual(['CIRC_AGENT_LISTEN']);
      const mirror = { CIRC_AGENT_TLS_CERT_FILE: files.certFile, CIRC_AGENT_TLS_KEY_FILE: files.keyFile };
      expect(readAgentConfig({ ...env, ...mirror, CIRC_TLS_CA_FILE })).toMatchObject({
        mirrorTls: { certFile: files.certFile, keyFile: files.keyFile },
        tierTls: { caFile: files.caFile, certFile: undefined },
      });
    });

    test('wants a CA with a certificate: TLS towards the tier begins with whom to believe', async () => {
      await using files = await withFiles();
      const mine = { CIRC_TLS_CERT_FILE: files.certFile, CIRC_TLS_KEY_FILE: files.keyFile };
      expect(names(mine)).toEqual(['CIRC_TLS_CA_FILE']);
      expect(names({ ...mine, CIRC_TLS_CA_FILE: files.caFile })).toEqual([]);
    });

    test('tells of every file that cannot be used', async () => {
      await using files = await withFiles();
      expect(
        names({
          CIRC_AGENT_TLS_CERT_FILE: files.certFile,
          CIRC_TLS_CA_FILE: '/no/ca',
          CIRC_TLS_CERT_FILE: '/no/cert',
          CIRC_TLS_KEY_FILE: files.keyFile,
          CIRC_TIER_TOKEN_FILE: '/no/token',
        }).toSorted(),
      ).toEqual(['CIRC_AGENT_TLS_KEY_FILE', 'CIRC_TIER_TOKEN_FILE', 'CIRC_TLS_CA_FILE', 'CIRC_TLS_CERT_FILE']);
    });
  });
});
