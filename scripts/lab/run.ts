import { execFile } from 'node:child_process';
import { promisify } from 'node:util';

const execute = promisify(execFile);

/** Most a finished program may have written to stdout or stderr. */
const OUTPUT_BYTES = 32 * 1024 * 1024;

export interface RunOptions {
  /** Bound of the whole run; default one minute. */
  readonly timeoutMs?: number;
  readonly env?: NodeJS.ProcessEnv;
  readonly cwd?: string;
}

export interface Output {
  readonly stdout: string;
  readonly stderr: string;
}

/**
 * Runs a program to its end. `argv[0]` is looked up in PATH.
 *
 * @throws an Error that holds the command line, how it ended and the last lines it wrote
 */
export async function run(argv: readonly string[], options: RunOptions = {}): Promise<Output> {
  const [command = '', ...args] = argv;
  try {
    return await execute(command, args, {
      maxBuffer: OUTPUT_BYTES,
      timeout: options.timeoutMs ?? 60_000,
      killSignal: 'SIGKILL',
      ...(options.env && { env: options.env }),
      ...(options.cwd && { cwd: options.cwd }),
    });
  } catch (error) {
    throw new Error(`${argv.join(' ')}: ${describeFailure(error)}`, { cause: error });
  }
}

function describeFailure(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  const { code, signal, stdout, stderr } = error as Error &
    Partial<Output> & { code?: number | string; signal?: string };
  const said = lastLines(`${stdout ?? ''}\n${stderr ?? ''}`, 20);
  return `${signal ? `ended by ${signal}` : `exit ${code}`}${said && `\n${said}`}`;
}

/** The last `count` lines of a text that are not empty. */
export function lastLines(text: string, count: number): string {
  return text
    .split('\n')
    .filter((line) => line.trim() !== '')
    .slice(-count)
    .join('\n');
}
