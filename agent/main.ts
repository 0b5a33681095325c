import { runProgram } from '../service/program.ts';
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
      const agent = await startAgent(config, log);
      log.info({ mirror: agent.mirror, status: agent.status }, 'listening');
      return agent;
    },
  },
  { args: process.argv.slice(2), env: process.env },
);
