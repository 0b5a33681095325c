import { runCircctl } from './circctl.ts';
import { processTerminal } from './terminal.ts';

process.exitCode = await runCircctl(process.argv.slice(2), process.env, processTerminal());
// Connections that are kept must not hold the end up.
setTimeout(() => process.exit(), 100).unref();
