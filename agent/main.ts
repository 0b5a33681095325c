import { runProgram } from '../service/program.ts';
import { startWatchdog } from '../service/watchdog.ts';
import { startAgent } from './agent.ts';
import { AGENT_VARIABLES, readAgentConfig } from './config.ts';

process.exitCode = await runProgram(
  {
    name: 'circ-agent',
    purpose: 'the part of circ on every node: a mirror of every registry for containerd',
    variables: AGENT_VARIABLES,
    configure: readAgentConfig,
    graceMs: 10_000,
    start: async (config, log) => {
      await using starting = new AsyncDisposableStack();
      starting.use(startWatchdog({ failed: (error) => log.error({ err: error }, 'the event loop is not watched') }));
      const agent = starting.use(await startAgent(config, log));
      log.info({ mirror: agent.mirror, status: agent.status }, 'listening');
      return starting.move();
    },
  },
  { args: process.argv.slice(2), env: process.env },
);
