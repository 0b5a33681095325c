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

/** Collects what is wrong, so that all of it can be told at once. */
export class Problems {
  readonly #lines = new Map<string, string>();

  /** Only the first problem with a name is told; the others mostly follow from it. */
  add(name: string, problem: string): void {
    if (!this.#lines.has(name)) this.#lines.set(name, `${name}: ${problem}`);
  }

  /** Is something wrong with it already? Then nothing that follows from its default is worth telling. */
  has(name: string): boolean {
    return this.#lines.has(name);
  }

  /** Runs a part of the configuration's reading; what it finds wrong is added, and undefined returned. */
  attempt<T>(name: string, read: () => T): T | undefined {
    try {
      return read();
    } catch (error) {
      if (error instanceof ConfigError) for (const line of error.problems) this.#lines.set(line, line);
      else this.add(name, error instanceof Error ? error.message : String(error));
      return undefined;
    }
  }

  /** @throws ConfigError if there are any */
  throwIfAny(): void {
    if (this.#lines.size > 0) throw new ConfigError([...this.#lines.values()]);
  }
}

/**
 * Reads all variables at once. An empty value counts as unset. What is wrong is added to the problems and replaced by
 * its default, so that the rest can be checked as well.
 */
export function readEnv<Variables extends Record<string, Variable<unknown>>>(
  variables: Variables,
  env: Env,
  problems: Problems,
): Values<Variables> {
  const values = Object.entries(variables).map(([name, { schema }]) => {
    const result = schema.safeParse(env[name] === '' ? undefined : env[name]);
    if (result.success) return [name, result.data];
    for (const { message } of result.error.issues) problems.add(name, message);
    return [name, schema.parse(undefined)];
  });
  return Object.fromEntries(values) as Values<Variables>;
}

/** What Kubernetes tells pods of a Service, here of `circ-shared-tier`: https://kubernetes.io/docs/concepts/services-networking/service/ */
const OF_SERVICE = /_(SERVICE_HOST|SERVICE_PORT(_\w+)?|PORT(_\d+_(TCP|UDP|SCTP)(_\w+)?)?)$/;

/** Names that are meant for circ, and are no variable of this program: misspelt ones. */
export function unknownNames(variables: Record<string, Variable<unknown>>, env: Env): string[] {
  const ours = Object.keys(env).filter((name) => name.startsWith('CIRC_') && !OF_SERVICE.test(name));
  return ours.filter((name) => !Object.hasOwn(variables, name));
}

/** The same variables as `--help` is to tell of them where some have other defaults. */
export function withDefaults(variables: Record<string, Variable<unknown>>, defaults: Env): typeof variables {
  const entries = Object.entries(variables).map(
    ([name, each]) => [name, { ...each, default: defaults[name] ?? each.default }] as const,
  );
  return Object.fromEntries(entries);
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
