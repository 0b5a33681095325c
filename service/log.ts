import { type Logger, pino } from 'pino';

export type { Logger } from 'pino';

export const LOG_LEVELS = ['trace', 'debug', 'info', 'warn', 'error', 'fatal', 'silent'] as const;

/**
 * The program's one logger: JSON lines on standard output, written in batches of at most a second, because a line per
 * request must not cost a system call each. Errors that circ throws carry no secrets, so they are logged with their
 * causes; requests are never logged as objects.
 */
export function createLogger(program: string, level: string): Logger {
  const destination = pino.destination({ dest: 1, sync: false, minLength: 4096, periodicFlush: 1000 });
  return pino({ base: { program }, level }, destination);
}

/** Writes out what is still buffered; for the end of the program. */
export async function flushLogger(log: Logger): Promise<void> {
  const { promise, resolve } = Promise.withResolvers<undefined>();
  log.flush(() => resolve(undefined));
  const timer = setTimeout(() => resolve(undefined), 500); // standard output may be a pipe that nobody reads
  await promise;
  clearTimeout(timer);
}
