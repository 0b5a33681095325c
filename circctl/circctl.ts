import { type ParseArgsConfig, parseArgs } from 'node:util';
import { type ErrorCode, OciError } from '../oci/error.ts';
import { ConfigError, type Env, describeEnv } from '../service/env.ts';
import { formatAddress, parseAddress } from '../service/units.ts';
import { readVersion } from '../service/version.ts';
import { AdminClient } from './admin-client.ts';
import { type Call, type Command, type Option, UsageError } from './command.ts';
import { blobs } from './commands/blobs.ts';
import { doctor } from './commands/doctor.ts';
import { evict } from './commands/evict.ts';
import { fetches } from './commands/fetches.ts';
import { preheat } from './commands/preheat.ts';
import { repos } from './commands/repos.ts';
import { status } from './commands/status.ts';
import { verify } from './commands/verify.ts';
import { CIRCCTL_VARIABLES, readTierAccess } from './config.ts';
import { credentialsFor } from './connect.ts';
import { explain } from './explain.ts';
import { type Terminal, plain } from './terminal.ts';

/** The commands, in the order in which they are told of. */
export const COMMANDS: Readonly<Record<string, Command>> = {
  status,
  repos,
  blobs,
  fetches,
  preheat,
  evict,
  verify,
  doctor,
};

const COMMON: Readonly<Record<string, Option>> = {
  tier: { type: 'string', value: 'HOST:PORT', meaning: 'gRPC of the shared tier, instead of CIRC_SHARED_TIER' },
  'server-name': { type: 'string', value: 'NAME', meaning: 'the name in its certificate, if it is dialled by another' },
  json: { type: 'boolean', meaning: 'for machines: one JSON value a line' },
  help: { type: 'boolean', meaning: 'what can be said' },
  version: { type: 'boolean', meaning: 'which circctl this is' },
};

/** Exit codes: all went well; something failed, or was found; it was called in a wrong way. */
const [OK, FAILED, WRONG] = [0, 1, 2];

/** Runs one command. @returns the exit code */
export async function runCircctl(args: readonly string[], env: Env, terminal: Terminal): Promise<number> {
  const { name, rest } = split(args);
  const command = Object.hasOwn(COMMANDS, name) ? COMMANDS[name] : undefined;
  try {
    if (!command) return runWithout(args, terminal);
    const call = callOf(command, rest, env, terminal);
    if (call.flag('help')) {
      terminal.out(helpOf(name, command));
      return OK;
    }
    const [least, most] = command.args;
    if (call.args.length < least || call.args.length > most) {
      throw new UsageError(`expected: circctl ${name} ${command.synopsis}`.trimEnd());
    }
    return await command.run(call);
  } catch (error) {
    return tell(error, command ? name : undefined, placeOf(rest, env), terminal);
  }
}

/** The command is the first word that is neither an option nor the value of one. */
function split(args: readonly string[]): { name: string; rest: readonly string[] } {
  const { tokens } = parseArgs({
    args: [...args],
    options: configOf(COMMON),
    strict: false,
    allowPositionals: true,
    tokens: true,
  });
  const word = tokens.find(({ kind }) => kind === 'positional');
  return word ? { name: args[word.index] ?? '', rest: args.toSpliced(word.index, 1) } : { name: '', rest: args };
}

/** Without a command there is help, and the version. */
function runWithout(args: readonly string[], terminal: Terminal): number {
  const { values, positionals } = parsed(args, COMMON);
  if (values['version'] === true) terminal.out(`circctl ${readVersion()}\n`);
  else if (values['help'] === true) terminal.out(help());
  else {
    const [word] = positionals;
    throw new UsageError(word === undefined ? 'expected a command' : `there is no command ${JSON.stringify(word)}`);
  }
  return OK;
}

function callOf(command: Command, args: readonly string[], env: Env, terminal: Terminal): Call {
  const { values, positionals } = parsed(args, { ...COMMON, ...command.options });
  const text = (option: string): string | undefined => {
    const value = values[option];
    return typeof value === 'string' ? value : undefined;
  };
  const [tier, serverName] = [text('tier'), text('server-name')];
  return {
    terminal,
    env,
    tier,
    serverName,
    isJson: values['json'] === true,
    args: positionals,
    flag: (option) => values[option] === true,
    text,
    texts: (option) => [values[option] ?? []].flat().map(String),
    admin: () => {
      const access = readTierAccess({ ...env, ...(tier !== undefined && { CIRC_SHARED_TIER: tier }) });
      return new AdminClient(access.sharedTier, { credentials: credentialsFor(access, serverName) });
    },
    json: (value) => terminal.out(`${JSON.stringify(value)}\n`),
  };
}

interface Parsed {
  readonly values: Readonly<Record<string, string | boolean | (string | boolean)[] | undefined>>;
  readonly positionals: readonly string[];
}

/** @throws UsageError */
function parsed(args: readonly string[], options: Readonly<Record<string, Option>>): Parsed {
  try {
    return parseArgs({ args: [...args], options: configOf(options), allowPositionals: true });
  } catch (error) {
    throw new UsageError(error instanceof Error ? error.message : String(error));
  }
}

function configOf(options: Readonly<Record<string, Option>>): NonNullable<ParseArgsConfig['options']> {
  const config = Object.entries(options).map(
    ([name, { type, multiple = false }]) => [name, { type, multiple }] as const,
  );
  return Object.fromEntries(config);
}

/** What the shared tier answers to names that cannot be any. */
const NO_NAMES = new Set<ErrorCode>(['NAME_INVALID', 'TAG_INVALID', 'DIGEST_INVALID']);

function tell(error: unknown, name: string | undefined, tier: string, terminal: Terminal): number {
  const also = name === undefined ? 'circctl --help' : `circctl ${name} --help`;
  if (error instanceof UsageError) terminal.err(`circctl: ${plain(error.message)}\nsee ${also}\n`);
  else if (error instanceof ConfigError) {
    terminal.err(`circctl: the configuration is wrong\n${error.problems.map((line) => `  ${line}\n`).join('')}`);
  } else {
    const [first = '', ...more] = explain(error, tier).map(plain);
    terminal.err(`circctl: ${first}\n${more.map((line) => `  ${line}\n`).join('')}`);
    return error instanceof OciError && NO_NAMES.has(error.code) ? WRONG : FAILED;
  }
  return WRONG;
}

/** Where the shared tier was looked for, for people. */
function placeOf(args: readonly string[], env: Env): string {
  const at = args.indexOf('--tier');
  const text =
    (at < 0 ? undefined : args[at + 1]) ?? env['CIRC_SHARED_TIER'] ?? CIRCCTL_VARIABLES.CIRC_SHARED_TIER.default;
  try {
    return formatAddress(parseAddress(text ?? ''));
  } catch {
    return 'the shared tier';
  }
}

function help(): string {
  const width = Math.max(...Object.keys(COMMANDS).map((name) => name.length));
  const commands = Object.entries(COMMANDS).map(([name, { summary }]) => `  ${name.padEnd(width)}  ${summary}\n`);
  return `circctl: tells what circ's shared tier does, and what to do

Usage: circctl COMMAND [ARGUMENTS] [OPTIONS]

Commands:
${commands.join('')}
Options of all commands:
${describeOptions(COMMON)}
Exit codes: 0 all went well; 1 something failed, or doctor has found something; 2 a wrong call.

Settings are environment variables, those of the agent:

${describeEnv(CIRCCTL_VARIABLES)}
`;
}

function helpOf(name: string, { summary, synopsis, options, details }: Command): string {
  const own = Object.keys(options).length === 0 ? '' : `\nOptions:\n${describeOptions(options)}`;
  const more = details === undefined ? '' : `\n${details}\n`;
  const usage = ['circctl', name, synopsis, '[OPTIONS]'].filter((part) => part !== '').join(' ');
  return `${usage}\n\n${summary}\n${more}${own}\nOptions of all commands:\n${describeOptions(COMMON)}`;
}

function describeOptions(options: Readonly<Record<string, Option>>): string {
  const rows = Object.entries(options).map(([name, { value, meaning }]) => {
    const usage = value === undefined ? `--${name}` : `--${name} ${value}`;
    return [usage, meaning] as const;
  });
  const width = Math.max(...rows.map(([usage]) => usage.length));
  return rows.map(([usage, meaning]) => `  ${usage.padEnd(width)}  ${meaning}\n`).join('');
}
