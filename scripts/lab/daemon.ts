import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { open, readFile } from 'node:fs/promises';
import { basename } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { lastLines } from './run.ts';

/** How a process ended: its exit code, or the signal that ended it. */
export interface Exit {
  readonly code: number | null;
  readonly signal: NodeJS.Signals | null;
}

export interface DaemonOptions {
  /** Program and arguments; `argv[0]` is looked up in PATH. It may only be wrapped in programs that `exec`. */
  readonly argv: readonly string[];
  /** stdout and stderr are appended here. */
  readonly logFile: string;
  readonly env?: NodeJS.ProcessEnv;
  readonly cwd?: string;
}

/** A long-running process of ours, known by its pid alone; disposing of it ends it. */
export class Daemon implements AsyncDisposable {
  readonly pid: number;
  readonly logFile: string;
  readonly name: string;
  /** Settles when the process has ended, whoever ended it. */
  readonly ended: Promise<Exit>;
  readonly #child: ChildProcess;

  private constructor(child: ChildProcess, pid: number, logFile: string) {
    this.#child = child;
    this.pid = pid;
    this.logFile = logFile;
    this.name = basename(logFile, '.log');
    this.ended = new Promise((resolve) => {
      child.once('exit', (code, signal) => resolve({ code, signal }));
    });
  }

  static async start(options: DaemonOptions): Promise<Daemon> {
    await using log = await open(options.logFile, 'a');
    // The kernel ends the process with this one, so that a killed test run leaves nothing behind.
    const child = spawn('setpriv', ['--pdeathsig', 'KILL', '--', ...options.argv], {
      stdio: ['ignore', log.fd, log.fd],
      ...(options.env && { env: options.env }),
      ...(options.cwd && { cwd: options.cwd }),
    });
    await once(child, 'spawn');
    if (child.pid === undefined) throw new Error(`${options.argv.join(' ')} has no pid`);
    return new Daemon(child, child.pid, options.logFile);
  }

  get running(): boolean {
    return this.#child.exitCode === null && this.#child.signalCode === null;
  }

  /** Sends a signal to a process that may have ended already. */
  signal(name: NodeJS.Signals): void {
    this.#child.kill(name);
  }

  /** Ends the process: `signal` first, SIGKILL when it is still there after `graceMs`. */
  async stop(signal: NodeJS.Signals = 'SIGTERM', graceMs = 10_000): Promise<Exit> {
    this.signal(signal);
    const timer = setTimeout(() => this.signal('SIGKILL'), graceMs);
    try {
      return await this.ended;
    } finally {
      clearTimeout(timer);
    }
  }

  /**
   * Waits until `check` is true; asked every 50 ms, an error counts as false.
   *
   * @throws when the process ends first or the time is over, with the end of its log
   */
  async until(what: string, check: () => Promise<boolean>, timeoutMs = 30_000): Promise<void> {
    const end = performance.now() + timeoutMs;
    while (performance.now() < end) {
      if (!this.running) throw new Error(`${this.name} ended before it was ${what}:\n${await this.logTail()}`);
      if (await check().catch(() => false)) return;
      await sleep(50);
    }
    throw new Error(`${this.name} was not ${what} after ${timeoutMs} ms:\n${await this.logTail()}`);
  }

  /** Everything the process has written so far. */
  async log(): Promise<string> {
    return await readFile(this.logFile, 'utf8');
  }

  async logTail(lines = 15): Promise<string> {
    return lastLines(await this.log(), lines);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    // A frozen process does not see SIGTERM.
    this.signal('SIGCONT');
    await this.stop();
  }
}
