import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { ConfigError } from '../../service/env.ts';
import { readTierConfig } from '../../shared-tier/config.ts';
import { CertificateVolume, TestCa } from '../support/certificates.ts';
import { tmpDir } from '../support/tmp-dir.ts';

/** One replica, so that a test says itself what leases in Kubernetes need. */
const ALONE = { CIRC_TIER_LEASES: 'memory' };
const LOOPBACK = { ...ALONE, CIRC_TIER_GRPC_LISTEN: '127.0.0.1:0', CIRC_TIER_HTTP_LISTEN: '127.0.0.1:0' };

function problemsOf(env: Record<string, string>): readonly string[] {
  try {
    readTierConfig({ ...ALONE, ...env });
    return [];
  } catch (error) {
    if (error instanceof ConfigError) return error.problems;
    throw error;
  }
}

/** The variables that something is wrong with. */
function names(env: Record<string, string>): string[] {
  return problemsOf(env).map((problem) => problem.split(':', 1).join());
}

describe('the configuration of the shared tier', () => {
  test('has the defaults of the contract', () => {
    expect(readTierConfig(LOOPBACK)).toMatchObject({
      statusListen: { host: '0.0.0.0', port: 5062 },
      store: { kind: 'disk', directory: '/var/lib/circ/tier', capacityBytes: 200 * 2 ** 30 },
      grantTtlMs: 60_000,
      insecure: false,
      leases: { kind: 'memory', durationMs: 15_000 },
      logLevel: 'info',
      advertise: undefined,
    });
  });

  test('has leases in Kubernetes unless it is told otherwise, and says what they need', () => {
    expect(names({ ...LOOPBACK, CIRC_TIER_LEASES: '' })).toEqual(['CIRC_TIER_KEY_FILE', 'CIRC_POD_NAMESPACE']);
  });

  test('is refused with every mistake at once', () => {
    const problems = problemsOf({
      CIRC_TIER_GRPC_LISTEN: 'nonsense',
      CIRC_TIER_HTTP_LISTEN: '0.0.0.0:5061',
      CIRC_TIER_STORE: 's3:/bucket',
      CIRC_TIER_STORE_SIZE: 'much',
      CIRC_TIER_LEASES: 'zookeeper',
      CIRC_POD_NAMESPACE: 'Circ System',
      CIRC_TIER_ADVERTISE: 'nowhere',
      CIRC_TIER_KEY_FILE: '/no/such/file',
      CIRC_GRANT_TTL: '60',
      CIRC_ORIGINS: '/no/such/origins',
      CIRC_INSECURE: 'yes',
      CIRC_LOG_LEVEL: 'loud',
      CIRC_TIER_PUBLIC_URL: 'circ.example',
    });
    expect(problems.map((problem) => problem.split(':', 1).join()).toSorted()).toEqual([
      'CIRC_GRANT_TTL',
      'CIRC_INSECURE',
      'CIRC_LOG_LEVEL',
      'CIRC_ORIGINS',
      'CIRC_POD_NAMESPACE',
      'CIRC_TIER_ADVERTISE',
      'CIRC_TIER_CLIENTS',
      'CIRC_TIER_GRPC_LISTEN',
      'CIRC_TIER_HTTP_LISTEN',
      'CIRC_TIER_KEY_FILE',
      'CIRC_TIER_LEASES',
      'CIRC_TIER_PUBLIC_URL',
      'CIRC_TIER_STORE',
      'CIRC_TIER_STORE_SIZE',
    ]);
  });

  test('is refused with every mistake of the origins file, and a key that is too short', async () => {
    await using dir = await tmpDir();
    const [origins, key] = [join(dir.path, 'origins.yaml'), join(dir.path, 'key')];
    await writeFile(origins, 'denyNetworks: [x]\nregistries:\n  a.test: {endpoint: "ftp://x", maxConnections: 0}\n');
    await writeFile(key, 'short');
    const problems = problemsOf({ ...LOOPBACK, CIRC_ORIGINS: origins, CIRC_TIER_KEY_FILE: key });
    expect(problems).toHaveLength(4);
    expect(problems.join('\n')).toMatch(/denyNetworks.*[^]*a\.test\.endpoint/);
    expect(problems.join('\n')).toContain('CIRC_TIER_KEY_FILE: expected at least 32 bytes');
  });

  test('tells of a CA file that cannot be read', async () => {
    await using dir = await tmpDir();
    const origins = join(dir.path, 'origins.yaml');
    await writeFile(origins, 'registries: {a.test: {ca: /no/such/ca.pem}}');
    expect(problemsOf({ ...LOOPBACK, CIRC_ORIGINS: origins }).join('\n')).toContain('registries.a.test.ca');
  });

  test('tells of credentials of the operator that cannot be read, and nothing of what they say', async () => {
    await using dir = await tmpDir();
    const [origins, file] = [join(dir.path, 'origins.yaml'), join(dir.path, 'credentials.json')];
    await writeFile(origins, `registries: {a.test: {credentialsFile: ${file}}}`);
    for (const text of [undefined, 'top-secret', '{"username":"top-secret"}']) {
      if (text !== undefined) await writeFile(file, text);
      const problems = problemsOf({ ...LOOPBACK, CIRC_ORIGINS: origins }).join('\n');
      expect(problems).toMatch(/registries\.a\.test\.credentialsFile: expected a file with/);
      expect(problems).not.toContain('top-secret');
    }
    await writeFile(file, '{"username":"u","password":"p"}');
    expect(problemsOf({ ...LOOPBACK, CIRC_ORIGINS: origins })).toEqual([]);
  });

  test('lets listeners beyond loopback be only when it is told to', () => {
    const env = { CIRC_TIER_GRPC_LISTEN: '0.0.0.0:5060', CIRC_TIER_HTTP_LISTEN: '[::]:5061' };
    expect(problemsOf(env)).toHaveLength(3);
    expect(problemsOf({ ...env, CIRC_INSECURE: 'true' })).toEqual([]);
  });

  test.each(['127.0.0.1:1', '127.9.9.9:1', '[::1]:1', 'localhost:1'])('counts %s as loopback', (address) => {
    expect(problemsOf({ CIRC_TIER_GRPC_LISTEN: address, CIRC_TIER_HTTP_LISTEN: address })).toEqual([]);
  });

  test('has its leases in Kubernetes unless it is told otherwise', () => {
    expect(names({ ...LOOPBACK, CIRC_TIER_LEASES: '' })).toEqual(['CIRC_TIER_KEY_FILE', 'CIRC_POD_NAMESPACE']);
  });

  test('of leases in Kubernetes says where they are and who this is', async () => {
    await using dir = await tmpDir();
    const key = join(dir.path, 'key');
    await writeFile(key, 'k'.repeat(32));
    const env = { ...LOOPBACK, CIRC_TIER_LEASES: 'kubernetes', CIRC_TIER_KEY_FILE: key, CIRC_POD_NAMESPACE: 'circ' };
    expect(readTierConfig({ ...env, CIRC_TIER_LEASE_DURATION: '30s', CIRC_POD_NAME: 'circ-0' }).leases).toEqual({
      kind: 'kubernetes',
      durationMs: 30_000,
      namespace: 'circ',
      podName: 'circ-0',
    });
    const podNames = [readTierConfig(env).leases, readTierConfig(env).leases].map(
      (each) => 'podName' in each && each.podName,
    );
    expect(new Set(podNames).size).toBe(2);
  });

  test('of leases in Kubernetes lacks nothing that replicas need to read from each other', () => {
    const problems = problemsOf({
      CIRC_TIER_GRPC_LISTEN: '0.0.0.0:5060',
      CIRC_TIER_HTTP_LISTEN: '0.0.0.0:5061',
      CIRC_INSECURE: 'true',
      CIRC_TIER_LEASES: 'kubernetes',
      CIRC_TIER_LEASE_DURATION: '10ms',
    });
    expect(problems).toEqual([
      'CIRC_TIER_LEASE_DURATION: expected at least 1s',
      'CIRC_TIER_KEY_FILE: expected, with the same bytes for all replicas, when leases are in kubernetes',
      'CIRC_TIER_ADVERTISE: expected it or POD_IP, when leases are in kubernetes',
      'CIRC_POD_NAMESPACE: expected, outside of a pod, when leases are in kubernetes',
    ]);
  });

  test('makes a new key at each start when no file has one', () => {
    const [one, two] = [readTierConfig(LOOPBACK).masterKey, readTierConfig(LOOPBACK).masterKey];
    expect([one.length, Buffer.compare(one, two) === 0]).toEqual([32, false]);
  });

  test('derives the advertised address from the pod’s', () => {
    const env = {
      ...ALONE,
      CIRC_TIER_GRPC_LISTEN: '127.0.0.1:1',
      CIRC_TIER_HTTP_LISTEN: '127.0.0.1:7',
      POD_IP: '10.1.2.3',
    };
    expect(readTierConfig(env).advertise).toEqual({ host: '10.1.2.3', port: 7 });
    expect(readTierConfig({ ...env, CIRC_TIER_ADVERTISE: 'a:9' }).advertise).toEqual({ host: 'a', port: 9 });
  });

  describe('of who may call, and over what,', () => {
    const OPEN = { ...ALONE, CIRC_TIER_GRPC_LISTEN: '0.0.0.0:5060', CIRC_TIER_HTTP_LISTEN: '127.0.0.1:5061' };
    const ca = new TestCa();

    async function withFiles() {
      const directory = await tmpDir();
      const volume = await new CertificateVolume(directory.path).write({ ...ca.issue(), ca: ca.pem });
      const pair = { CIRC_TLS_CERT_FILE: volume.certFile, CIRC_TLS_KEY_FILE: volume.keyFile };
      return { pair, caFile: volume.caFile, [Symbol.asyncDispose]: () => directory[Symbol.asyncDispose]() };
    }

    test('wants TLS and identity for a listener beyond loopback', async () => {
      await using files = await withFiles();
      const CIRC_TIER_CLIENTS = 'tokenreview:circ:circ/agent';
      expect(names(OPEN)).toEqual(['CIRC_TIER_GRPC_LISTEN', 'CIRC_TIER_CLIENTS']);
      expect(names({ ...OPEN, ...files.pair })).toEqual(['CIRC_TIER_CLIENTS']);
      expect(names({ ...OPEN, ...files.pair, CIRC_TIER_CLIENTS: 'any' })).toEqual(['CIRC_TIER_CLIENTS']);
      expect(names({ ...OPEN, CIRC_TIER_CLIENTS })).toEqual(['CIRC_TIER_GRPC_LISTEN']);
      expect(readTierConfig({ ...OPEN, ...files.pair, CIRC_TIER_CLIENTS })).toMatchObject({
        tls: { certFile: files.pair.CIRC_TLS_CERT_FILE, keyFile: files.pair.CIRC_TLS_KEY_FILE },
        clients: { kind: 'tokenreview', audience: 'circ' },
      });
    });

    test('lets anybody call on loopback, unless it is told who may', () => {
      expect(readTierConfig(LOOPBACK).clients).toEqual({ kind: 'any' });
      expect(readTierConfig({ ...LOOPBACK, CIRC_TIER_CLIENTS: 'tokenreview:circ:circ/agent' }).clients.kind).toBe(
        'tokenreview',
      );
    });

    test('wants a certificate and a CA for mtls', async () => {
      await using files = await withFiles();
      const env = { ...LOOPBACK, CIRC_TIER_CLIENTS: 'mtls:agent.test' };
      expect(names(env)).toEqual(['CIRC_TIER_CLIENTS']);
      expect(names({ ...env, ...files.pair })).toEqual(['CIRC_TIER_CLIENTS']);
      expect(names({ ...env, ...files.pair, CIRC_TLS_CA_FILE: files.caFile })).toEqual([]);
    });

    test('tells of files that cannot be used together with everything else', async () => {
      await using files = await withFiles();
      const env = { ...OPEN, CIRC_TLS_CERT_FILE: files.caFile, CIRC_TLS_KEY_FILE: files.pair.CIRC_TLS_KEY_FILE };
      expect(names({ ...env, CIRC_TLS_CA_FILE: '/no/ca', CIRC_TIER_CLIENTS: 'everybody' }).toSorted()).toEqual([
        'CIRC_TIER_CLIENTS',
        'CIRC_TLS_CA_FILE',
        'CIRC_TLS_KEY_FILE',
      ]);
    });
  });
});
