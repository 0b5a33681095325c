import { parseArgs } from 'node:util';
import { ConfigError, type Env, type Variable, describeEnv } from './env.ts';
import { type Logger, createLogger, flushLogger } from './log.ts';
import { readVersion } from './version.ts';

export interface Program<Config extends { logLevel: string }> {
  readonly name: string;
  /** One sentence for --help. */
  readonly purpose: string;
  readonly variables: Record<string, Variable<unknown>>;
  /** Environment → checked configuration. @throws ConfigError */
  configure(env: Env): Config;
  /** Starts serving; disposing the result ends it within `graceMs`. */
  start(config: Config, log: Logger): Promise<AsyncDisposable>;
  /** How long an orderly end may take, in ms, before the process ends all the same. */
  readonly graceMs: number;
}

/**
 * Runs a program until it is told to stop (SIGINT, SIGTERM) and returns its exit code: 0 after an orderly end, 1 when
 * it could not start or end in time, 2 for wrong arguments or configuration.
 */
export async function runProgram<Config extends { logLevel: string }>(
  program: Program<Config>,
  { args, env }: { args: string[]; env: Env },
): Promise<number> {
  const usage = `${program.name}: ${program.purpose}\n\nOptions: --help, --version. Settings are environment variables:\n\n`;
  let config: Config;
  try {
    const { values } = parseArgs({ args, options: { help: { type: 'boolean' }, version: { type: 'boolean' } } });
    if (values.help) {
      process.stdout.write(`${usage}${describeEnv(program.variables)}\n`);
      return 0;
    }
    if (values.version) {
      process.stdout.write(`${program.name} ${readVersion()}\n`);
      return 0;
    }
    config = program.configure(env);
  } catch (error) {
    const problems =
      error instanceof ConfigError ? error.problems : [error instanceof Error ? error.message : 'unknown'];
    process.stderr.write(
      `${program.name}: the configuration is wrong\n${problems.map((each) => `  ${each}\n`).join('')}`,
    );
    return 2;
  }

  const log = createLogger(program.name, config.logLevel);
  const stopped = untilSignal();
  try {
    const running = await program.start(config, log);
    const signal = await stopped;
    log.info({ signal }, 'stopping');
    await within(program.graceMs, running[Symbol.asyncDispose]());
    return 0;
  } catch (error) {
    log.fatal({ err: error }, 'ended by an error');
    process.stderr.write(`${program.name}: ${error instanceof Error ? error.message : String(error)}\n`);
    return 1;
  } finally {
    await flushLogger(log);
    // Whatever is still open then must not hold the end up; unref: nothing to do when nothing is.
    setTimeout(() => process.exit(), 100).unref();
  }
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
