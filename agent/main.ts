import { ConfigError } from '../service/env.ts';
import { runProgram } from '../service/program.ts';
import { startWatchdog } from '../service/watchdog.ts';
import { AGENT_VARIABLES, readAgentConfig } from './config.ts';
import { mirrorUrl } from './hosts/mirror.ts';

process.exitCode = await runProgram(
  {
    name: 'circ-agent',
    purpose: 'the part of circ on every node: a mirror of every registry for containerd',
    variables: AGENT_VARIABLES,
    configure: readAgentConfig,
    graceMs: 10_000,
    tasks: {
      uninstall: {
        meaning: 'makes the hosts.toml files what they were, once the agent has ended',
        run: async ({ certsDirectory, listen }, log) => {
          const expected =
            'CIRC_CONTAINERD_CERTS_DIR: expected the directory whose hosts.toml files are to be restored';
          if (certsDirectory === undefined) throw new ConfigError([expected]);
          const { uninstallHosts } = await import('./hosts/uninstall.ts');
          await uninstallHosts(certsDirectory, mirrorUrl(listen), log);
        },
      },
    },
    start: async (config, log) => {
      // Whoever asks for --help, or has a mistake in the settings, need not wait for all of it.
      const { startAgent } = await import('./agent.ts');
      await using starting = new AsyncDisposableStack();
      starting.use(startWatchdog({ failed: (error) => log.error({ err: error }, 'the event loop is not watched') }));
      const agent = starting.use(await startAgent(config, log));
      log.info({ mirror: agent.mirror, status: agent.status }, 'listening');
      return starting.move();
    },
  },
  { args: process.argv.slice(2), env: process.env },
);
