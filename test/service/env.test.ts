import { describe, expect, test } from 'vitest';
import {
  ConfigError,
  Problems,
  describeEnv,
  oneOf,
  optional,
  parseFlag,
  parseText,
  readEnv,
  unknownNames,
  variable,
} from '../../service/env.ts';
import { parseSize } from '../../service/units.ts';

const VARIABLES = {
  CIRC_A: variable('first', '1KiB', parseSize),
  CIRC_B: variable('second', 'x', oneOf('x', 'y')),
  CIRC_C: optional('third', parseText),
  CIRC_D: variable('fourth', 'false', parseFlag),
};

function read(env: Record<string, string | undefined>) {
  const problems = new Problems();
  const values = readEnv(VARIABLES, env, problems);
  problems.throwIfAny();
  return values;
}

function problemsOf(env: Record<string, string | undefined>): readonly string[] {
  try {
    read(env);
  } catch (error) {
    if (error instanceof ConfigError) return error.problems;
    throw error;
  }
  return [];
}

describe('readEnv', () => {
  test('gives defaults for what is unset or empty, and ignores what is not its own', () => {
    const defaults = { CIRC_A: 1024, CIRC_B: 'x', CIRC_C: undefined, CIRC_D: false };
    expect(read({})).toEqual(defaults);
    expect(read({ CIRC_A: '', CIRC_B: undefined, CIRC_C: '', PATH: '/bin', CIRC_Z: '?' })).toEqual(defaults);
  });

  test('gives parsed values, spaces around them aside', () => {
    expect(read({ CIRC_A: ' 2KiB ', CIRC_B: 'y', CIRC_C: 'z', CIRC_D: 'true' })).toMatchObject({
      CIRC_A: 2048,
      CIRC_B: 'y',
      CIRC_C: 'z',
      CIRC_D: true,
    });
  });

  test('tells every mistake at once: the variable, what is expected, what it got', () => {
    expect(problemsOf({ CIRC_A: 'much', CIRC_B: 'z', CIRC_C: '  ', CIRC_D: 'yes' })).toEqual([
      'CIRC_A: expected a size such as 20GiB, got "much"',
      'CIRC_B: expected x, y, got "z"',
      'CIRC_C: expected some text, got "  "',
      'CIRC_D: expected true, false, got "yes"',
    ]);
  });
});

describe('Problems', () => {
  test('tell one problem of each name, the first', () => {
    const problems = new Problems();
    problems.add('CIRC_A', 'first');
    problems.add('CIRC_A', 'second');
    problems.add('CIRC_B', 'third');
    expect(() => problems.throwIfAny()).toThrow(
      expect.objectContaining({ problems: ['CIRC_A: first', 'CIRC_B: third'] }),
    );
  });

  test('of two programs in one are told once where they are the same', () => {
    const problems = new Problems();
    for (const part of ['agent', 'tier']) {
      problems.attempt(part, () => {
        throw new ConfigError(['CIRC_ORIGINS: cannot be read']);
      });
    }
    expect(() => problems.throwIfAny()).toThrow(
      expect.objectContaining({ problems: ['CIRC_ORIGINS: cannot be read'] }),
    );
  });

  test('that are none throw nothing', () => {
    const problems = new Problems();
    expect(problems.attempt('CIRC_A', () => 5)).toBe(5);
    expect(() => problems.throwIfAny()).not.toThrow();
  });
});

test('describeEnv gives a line for each variable, with meaning and default', () => {
  const lines = describeEnv(VARIABLES).split('\n');
  expect(lines[0]).toMatch(/^ +CIRC_A +first \[1KiB\]$/);
  expect(lines[2]).toMatch(/^ +CIRC_C +third \[unset\]$/);
  expect(lines).toHaveLength(4);
});

test('a name of ours that is no variable is misspelt, unless Kubernetes made it of a Service', () => {
  const ofService = [
    'SERVICE_HOST',
    'SERVICE_PORT',
    'SERVICE_PORT_GRPC',
    'PORT',
    'PORT_5060_TCP',
    'PORT_5060_TCP_ADDR',
  ];
  const env = Object.fromEntries(ofService.map((name) => [`CIRC_SHARED_TIER_${name}`, '1']));
  expect(unknownNames(VARIABLES, { ...env, CIRC_A: '1', CIRC_AA: '1', AWS_A: '1' })).toEqual(['CIRC_AA']);
});
