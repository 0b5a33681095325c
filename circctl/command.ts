import type { Env } from '../service/env.ts';
import type { AdminClient } from './admin-client.ts';
import type { Terminal } from './terminal.ts';

/** An option of a command, for `parseArgs` and for people. */
export interface Option {
  readonly type: 'string' | 'boolean';
  readonly multiple?: boolean;
  /** What its value is called in the help. */
  readonly value?: string;
  readonly meaning: string;
}

/** What a command was called with. */
export interface Call {
  readonly terminal: Terminal;
  readonly env: Env;
  /** Machine-readable output. */
  readonly isJson: boolean;
  /** What follows the command's name, options aside. */
  readonly args: readonly string[];
  readonly flag: (name: string) => boolean;
  readonly text: (name: string) => string | undefined;
  readonly texts: (name: string) => readonly string[];
  /** Where the shared tier is, if an option says it. */
  readonly tier: string | undefined;
  readonly serverName: string | undefined;
  /** The shared tier's admin service. @throws ConfigError */
  admin(): AdminClient;
  /** Writes one value: as it is, one line, for machines. */
  json(value: unknown): void;
}

export interface Command {
  /** One line for the list of commands. */
  readonly summary: string;
  /** What stands behind the name: `IMAGE`. */
  readonly synopsis: string;
  readonly options: Readonly<Record<string, Option>>;
  /** More, for the command's own help. */
  readonly details?: string;
  /** How many arguments it takes, at least and at most. */
  readonly args: readonly [number, number];
  /** @returns the exit code: 0, or 1 when something of it failed. @throws OciError, UsageError, ConfigError */
  run(call: Call): Promise<number>;
}

/** It was called in a wrong way; exit code 2. */
export class UsageError extends Error {
  override readonly name = 'UsageError';
}

/** @throws UsageError unless it is one of these */
export function oneOf(words: readonly string[], word: string, option: string): string {
  if (!words.includes(word)) throw new UsageError(`--${option} is one of ${words.join(', ')}`);
  return word;
}
