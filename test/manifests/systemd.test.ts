import { existsSync, readFileSync } from 'node:fs';
import { describe, expect, test } from 'vitest';
import { AGENT_VARIABLES, readAgentConfig } from '../../agent/config.ts';
import { TIER_VARIABLES, readTierConfig } from '../../shared-tier/config.ts';

const UNITS = [
  { unit: 'circ-agent', program: 'agent/main', known: AGENT_VARIABLES, readConfig: readAgentConfig },
  { unit: 'circ-shared-tier', program: 'shared-tier/main', known: TIER_VARIABLES, readConfig: readTierConfig },
];

/** Values of a setting in a unit, in their order. */
function settings(text: string, name: string): string[] {
  return Array.from(text.matchAll(new RegExp(`^${name}=(.*)$`, 'gm')), ([, value = '']) => value);
}

/** What a unit tells its program, without the file of the user. */
function environment(text: string): Record<string, string> {
  return Object.fromEntries(
    settings(text, 'Environment').map((pair) => {
      const [, name = '', value = ''] = /^(\w+)=(\S*)$/.exec(pair) ?? [];
      return [name, value];
    }),
  );
}

describe.each(UNITS)('$unit.service', ({ unit, program, known, readConfig }) => {
  const text = readFileSync(`manifests/systemd/${unit}.service`, 'utf8');

  test('names variables that its program has', () => {
    const told = text.match(/\b(?:CIRC|AWS|POD)_[A-Z0-9_]*[A-Z0-9]\b/g) ?? [];
    expect(told.length).toBeGreaterThan(2);
    expect(told.filter((name) => !(name in known))).toEqual([]);
  });

  test('has settings that its program takes, without any of the user', () => {
    expect(() => readConfig(environment(text))).not.toThrow();
  });

  test('starts a program that there is, again whenever it ends, but with wrong settings', () => {
    const [command = ''] = settings(text, 'ExecStart');
    expect(command).toBe(`/opt/circ/node /opt/circ/app/${program}.js`);
    expect(existsSync(`${program}.ts`)).toBe(true);
    expect(settings(text, 'Restart')).toEqual(['always']);
    expect(settings(text, 'StartLimitIntervalSec')).toEqual(['0']);
    expect(settings(text, 'RestartPreventExitStatus')).toEqual(['2']);
  });

  test('lets it write nowhere but where it has to', () => {
    const { CIRC_CONTAINERD_CERTS_DIR: certs, ...env } = environment(text);
    const store = (env['CIRC_AGENT_CACHE_DIR'] ?? env['CIRC_TIER_STORE'])?.replace(/^file:\/\//, '');
    expect(settings(text, 'ProtectSystem')).toEqual(['strict']);
    expect(settings(text, 'StateDirectory').map((path) => `/var/lib/${path}`)).toEqual([store]);
    expect(settings(text, 'ReadWritePaths')).toEqual(certs === undefined ? [] : [`-${certs}`]);
  });

  test('gives it no rights but to bind the port that it has', () => {
    const ports = Object.entries(environment(text)).flatMap(([name, value]) =>
      name.endsWith('LISTEN') ? [Number(value.split(':').at(-1))] : [],
    );
    const needed = ports.some((port) => port < 1024) ? 'CAP_NET_BIND_SERVICE' : '';
    expect(settings(text, 'CapabilityBoundingSet')).toEqual([needed]);
    expect(settings(text, 'NoNewPrivileges')).toEqual(['yes']);
  });
});
