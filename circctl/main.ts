import { runCircctl } from './circctl.ts';
import { processTerminal } from './terminal.ts';

// Who reads the output, head say, has what it wanted: as a program that SIGPIPE ends.
process.stdout.on('error', ({ code }: NodeJS.ErrnoException) => process.exit(code === 'EPIPE' ? 141 : 1));

process.exitCode = await runCircctl(process.argv.slice(2), process.env, processTerminal());
// Connections that are kept must not hold the end up.
setTimeout(() => process.exit(), 100).unref();
