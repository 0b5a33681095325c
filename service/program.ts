import { parseArgs } from 'node:util';
import { ConfigError, type Env, type Variable, describeEnv, unknownNames } from './env.ts';
import { type Logger, createLogger, flushLogger } from './log.ts';
import { readVersion } from './version.ts';

export interface Program<Config extends { logLevel: string }> {
  readonly name: string;
  /** One sentence for --help. */
  readonly purpose: string;
  readonly variables: Record<string, Variable<unknown>>;
  /** Environment → checked configuration. @throws ConfigError */
  configure(env: Env): Config;
  /** What it can do instead of serving, by the name of the option that asks for it (`uninstall` for `--uninstall`). */
  readonly tasks?: Readonly<Record<string, Task<Config>>>;
  /** Starts serving; disposing the result ends it within `graceMs`. */
  start(config: Config, log: Logger): Promise<AsyncDisposable>;
  /** How long an orderly end may take, in ms, before the process ends all the same. */
  readonly graceMs: number;
}

/** Something a program does once, and then ends. */
export interface Task<Config> {
  /** A few words for --help. */
  readonly meaning: string;
  /** @throws ConfigError if the configuration lacks what the task needs; Error if it fails */
  run(config: Config, log: Logger): Promise<void>;
}

/**
 * Runs a program until it is told to stop (SIGINT, SIGTERM), or one of its tasks, and returns the exit code: 0 after an
 * orderly end, 1 when it could not start, end in time, or do its task, 2 for wrong arguments or configuration.
 */
export async function runProgram<Config extends { logLevel: string }>(
  program: Program<Config>,
  { args, env }: { args: string[]; env: Env },
): Promise<number> {
  const tasks = Object.entries(program.tasks ?? {});
  let config: Config;
  let task: Task<Config> | undefined;
  try {
    const names = ['help', 'version', ...tasks.map(([name]) => name)];
    const options = Object.fromEntries(names.map((name) => [name, { type: 'boolean' as const }]));
    const { values } = parseArgs({ args, options });
    if (values['help']) {
      const also = tasks.map(([name, { meaning }]) => `, --${name} (${meaning})`).join('');
      const usage = `Options: --help, --version${also}. Settings are environment variables:`;
      process.stdout.write(`${program.name}: ${program.purpose}\n\n${usage}\n\n${describeEnv(program.variables)}\n`);
      return 0;
    }
    if (values['version']) {
      process.stdout.write(`${program.name} ${readVersion()}\n`);
      return 0;
    }
    config = program.configure(env);
    task = tasks.find(([name]) => values[name])?.[1];
  } catch (error) {
    return refuse(program.name, error);
  }

  const log = createLogger(program.name, config.logLevel);
  const unknown = unknownNames(program.variables, env);
  if (unknown.length > 0)
    log.warn({ variables: unknown }, 'these are no settings of this program: --help has them all');
  const stopped = untilSignal();
  try {
    if (task) {
      await task.run(config, log);
      return 0;
    }
    const running = await program.start(config, log);
    const signal = await stopped;
    log.info({ signal }, 'stopping');
    await within(program.graceMs, running[Symbol.asyncDispose]());
    return 0;
  } catch (error) {
    if (error instanceof ConfigError) return refuse(program.name, error);
    log.fatal({ err: error }, 'ended by an error');
    process.stderr.write(`${program.name}: ${error instanceof Error ? error.message : String(error)}\n`);
    return 1;
  } finally {
    await flushLogger(log);
    // Whatever is still open then must not hold the end up; unref: nothing to do when nothing is.
    setTimeout(() => process.exit(), 100).unref();
  }
}

function refuse(name: string, error: unknown): number {
  const problems = error instanceof ConfigError ? error.problems : [error instanceof Error ? error.message : 'unknown'];
  process.stderr.write(`${name}: the configuration is wrong\n${problems.map((each) => `  ${each}\n`).join('')}`);
  return 2;
}

async function untilSignal(): Promise<string> {
  return await new Promise((resolve) => {
    for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => resolve(signal));
  });
}

async function within(limitMs: number, work: PromiseLike<void>): Promise<void> {
  const { promise, reject } = Promise.withResolvers<never>();
  const timer = setTimeout(() => reject(new Error(`did not end within ${limitMs} ms`)), limitMs);
  try {
    await Promise.race([work, promise]);
  } finally {
    clearTimeout(timer);
  }
}
