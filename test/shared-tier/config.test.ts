import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { ConfigError } from '../../service/env.ts';
import { readTierConfig } from '../../shared-tier/config.ts';
import { tmpDir } from '../support/tmp-dir.ts';

const LOOPBACK = { CIRC_TIER_GRPC_LISTEN: '127.0.0.1:0', CIRC_TIER_HTTP_LISTEN: '127.0.0.1:0' };

function problemsOf(env: Record<string, string>): readonly string[] {
  try {
    readTierConfig(env);
    return [];
  } catch (error) {
    if (error instanceof ConfigError) return error.problems;
    throw error;
  }
}

describe('the configuration of the shared tier', () => {
  test('has the defaults of the contract', () => {
    expect(readTierConfig(LOOPBACK)).toMatchObject({
      statusListen: { host: '0.0.0.0', port: 5062 },
      storeDirectory: '/var/lib/circ/tier',
      storeBytes: 200 * 2 ** 30,
      grantTtlMs: 60_000,
      insecure: false,
      logLevel: 'info',
      advertise: undefined,
    });
  });

  test('is refused with every mistake at once', () => {
    const problems = problemsOf({
      CIRC_TIER_GRPC_LISTEN: 'nonsense',
      CIRC_TIER_HTTP_LISTEN: '0.0.0.0:5061',
      CIRC_TIER_STORE: 's3://bucket',
      CIRC_TIER_STORE_SIZE: 'much',
      CIRC_TIER_LEASES: 'zookeeper',
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

  test('lets listeners beyond loopback be only when it is told to', () => {
    const env = { CIRC_TIER_GRPC_LISTEN: '0.0.0.0:5060', CIRC_TIER_HTTP_LISTEN: '[::]:5061' };
    expect(problemsOf(env)).toHaveLength(2);
    expect(problemsOf({ ...env, CIRC_INSECURE: 'true' })).toEqual([]);
  });

  test.each(['127.0.0.1:1', '127.9.9.9:1', '[::1]:1', 'localhost:1'])('counts %s as loopback', (address) => {
    expect(problemsOf({ CIRC_TIER_GRPC_LISTEN: address, CIRC_TIER_HTTP_LISTEN: address })).toEqual([]);
  });

  test('makes a new key at each start when no file has one', () => {
    const [one, two] = [readTierConfig(LOOPBACK).masterKey, readTierConfig(LOOPBACK).masterKey];
    expect([one.length, Buffer.compare(one, two) === 0]).toEqual([32, false]);
  });

  test('derives the advertised address from the pod’s', () => {
    const env = { CIRC_TIER_GRPC_LISTEN: '127.0.0.1:1', CIRC_TIER_HTTP_LISTEN: '127.0.0.1:7', POD_IP: '10.1.2.3' };
    expect(readTierConfig(env).advertise).toEqual({ host: '10.1.2.3', port: 7 });
    expect(readTierConfig({ ...env, CIRC_TIER_ADVERTISE: 'a:9' }).advertise).toEqual({ host: 'a', port: 9 });
  });
});
