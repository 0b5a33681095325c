import { z } from 'zod';

/** Environment variables as a program gets them. */
export type Env = Readonly<Record<string, string | undefined>>;

/** Everything that is wrong with a configuration, one line each. The program prints them and exits with 2. */
export class ConfigError extends Error {
  override readonly name = 'ConfigError';
  readonly problems: readonly string[];

  constructor(problems: readonly string[]) {
    super(problems.join('\n'));
    this.problems = problems;
  }
}

/** One environment variable: how its text becomes a value. */
export interface Variable<T> {
  readonly meaning: string;
  readonly default: string | undefined;
  readonly schema: z.ZodType<T, string | undefined>;
}

type Values<Variables extends Record<string, Variable<unknown>>> = {
  [Name in keyof Variables]: Variables[Name] extends Variable<infer T> ? T : never;
};

/** A variable that always has a value. `parse` throws an Error whose message says what is expected. */
export function variable<T>(meaning: string, byDefault: string, parse: (text: string) => T): Variable<T> {
  return { meaning, default: byDefault, schema: z.string().prefault(byDefault).transform(checked(parse)) };
}

/** A variable that may be unset. */
export function optional<T>(meaning: string, parse: (text: string) => T): Variable<T | undefined> {
  return { meaning, default: undefined, schema: z.string().transform(checked(parse)).optional() };
}

/** For variables that are one of a few words. */
export function oneOf<const Word extends string>(...words: Word[]): (text: string) => Word {
  return (text) => {
    const word = words.find((each) => each === text);
    if (word === undefined) throw new Error(words.join(', '));
    return word;
  };
}

/** `true` or `false`. */
export function parseFlag(text: string): boolean {
  return oneOf('true', 'false')(text) === 'true';
}

/** Any text but none. */
export function parseText(text: string): string {
  if (text.trim() === '') throw new Error('some text');
  return text;
}

/** Reads all variables at once. An empty value counts as unset. @throws ConfigError that lists every mistake */
export function readEnv<Variables extends Record<string, Variable<unknown>>>(
  variables: Variables,
  env: Env,
): Values<Variables> {
  const schema = z.object(Object.fromEntries(Object.entries(variables).map(([name, each]) => [name, each.schema])));
  const given = Object.fromEntries(Object.entries(env).filter(([name, text]) => name in variables && text !== ''));
  const result = schema.safeParse(given);
  if (!result.success) {
    throw new ConfigError(result.error.issues.map((issue) => `${issue.path.join('.')}: ${issue.message}`));
  }
  return result.data as Values<Variables>;
}

/** The lines of `--help`. */
export function describeEnv(variables: Record<string, Variable<unknown>>): string {
  const width = Math.max(...Object.keys(variables).map((name) => name.length));
  return Object.entries(variables)
    .map(([name, { meaning, default: byDefault }]) => `  ${name.padEnd(width)}  ${meaning} [${byDefault ?? 'unset'}]`)
    .join('\n');
}

function checked<T>(parse: (text: string) => T): (text: string, context: z.RefinementCtx) => T {
  return (text, context) => {
    try {
      return parse(text.trim());
    } catch (error) {
      const expected = error instanceof Error ? error.message : String(error);
      context.addIssue({ code: 'custom', message: `expected ${expected}, got ${JSON.stringify(text)}` });
      return z.NEVER;
    }
  };
}
