import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { readFile } from 'node:fs/promises';
import { fileURLToPath } from 'node:url';
import { type Address, formatAddress } from '../../service/units.ts';

/** How a process ended. */
export interface Exit {
  readonly code: number | null;
  readonly signal: NodeJS.Signals | null;
  readonly stdout: string;
  readonly stderr: string;
}

export interface ProgramOptions {
  readonly args?: readonly string[];
  /** All of its environment; nothing is inherited but where Node keeps what it has compiled. */
  readonly env?: Record<string, string>;
  readonly cwd?: string;
  /** No file may become larger: writing more fails, as on a full disk. A multiple of 512. */
  readonly maxFileBytes?: number;
}

const READY_MS = 15_000;
const { NODE_COMPILE_CACHE } = process.env;

/** A source file of this project as a process of its own; killed when the test leaves its scope. */
export class Program implements AsyncDisposable {
  readonly #child: ChildProcess;
  readonly #exit: Promise<Exit>;
  #stdout = '';
  #stderr = '';

  constructor(file: string, { args = [], env = {}, cwd, maxFileBytes }: ProgramOptions = {}) {
    const path = fileURLToPath(new URL(`../../${file}`, import.meta.url));
    const limit =
      maxFileBytes === undefined ? [] : ['/bin/sh', '-c', `ulimit -f ${maxFileBytes / 512} && exec "$0" "$@"`];
    const [command = '', ...rest] = [...limit, process.execPath, path, ...args];
    this.#child = spawn(command, rest, {
      env: { ...(NODE_COMPILE_CACHE !== undefined && { NODE_COMPILE_CACHE }), ...env },
      ...(cwd !== undefined && { cwd }),
    });
    this.#child.stdout?.on('data', (data: Buffer) => (this.#stdout += data.toString()));
    this.#child.stderr?.on('data', (data: Buffer) => (this.#stderr += data.toString()));
    this.#exit = once(this.#child, 'close').then(([code, signal]) => ({
      code: code as number | null,
      signal: signal as NodeJS.Signals | null,
      stdout: this.#stdout,
      stderr: this.#stderr,
    }));
  }

  /** What was logged so far. */
  get log(): Record<string, unknown>[] {
    const lines = this.#stdout.split('\n').slice(0, -1);
    return lines.filter((line) => line.startsWith('{')).map((line) => JSON.parse(line) as Record<string, unknown>);
  }

  /** The end, however it comes. */
  async exited(): Promise<Exit> {
    return await this.#exit;
  }

  kill(signal: NodeJS.Signals): void {
    this.#child.kill(signal);
  }

  /** Waits for the log line that tells where it listens, and gives its addresses as `host:port`. */
  async listening(): Promise<Record<string, string>> {
    const line = await this.#until(() => this.log.find(({ msg }) => msg === 'listening'));
    const addresses = Object.entries(line).filter(([, value]) => typeof value === 'object' && value !== null);
    return Object.fromEntries(addresses.map(([name, address]) => [name, formatAddress(address as Address)]));
  }

  /** Waits for a match in standard error and gives its first group. */
  async says(pattern: RegExp): Promise<string> {
    return await this.#until(() => pattern.exec(this.#stderr)?.[1]);
  }

  /** Resident memory: now, and at its highest since `resetPeak`, in bytes. */
  async memory(): Promise<{ now: number; peak: number }> {
    const status = await readFile(`/proc/${this.#child.pid}/status`, 'utf8');
    const bytes = (name: string): number => 1024 * Number(new RegExp(`^${name}:\\s+(\\d+) kB$`, 'm').exec(status)?.[1]);
    return { now: bytes('VmRSS'), peak: bytes('VmHWM') };
  }

  async #until<T>(found: () => T | undefined): Promise<T> {
    const deadline = AbortSignal.timeout(READY_MS);
    const gone = this.#exit.then((exit) => {
      throw new Error(`the program ended with ${exit.code}: ${exit.stderr}`);
    });
    gone.catch(() => undefined);
    for (let value = found(); ; value = found()) {
      if (value !== undefined) return value;
      const outputs = [this.#child.stdout, this.#child.stderr].filter((stream) => stream !== null);
      await Promise.race([gone, ...outputs.map((stream) => once(stream, 'data', { signal: deadline }))]);
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#child.kill('SIGKILL');
    await this.#exit;
  }
}

/** Runs a program to its end. */
export async function run(file: string, options: ProgramOptions = {}): Promise<Exit> {
  await using program = new Program(file, options);
  return await program.exited();
}
