import { runProgram } from '../service/program.ts';
import { TIER_VARIABLES, readTierConfig } from './config.ts';

process.exitCode = await runProgram(
  {
    name: 'circ-shared-tier',
    purpose: 'the cluster-wide part of circ: proves access, fetches once, keeps what was fetched',
    variables: TIER_VARIABLES,
    configure: readTierConfig,
    graceMs: 10_000,
    start: async (config, log) => {
      // Whoever asks for --help, or has a mistake in the settings, need not wait for all of it.
      const { startSharedTier } = await import('./shared-tier.ts');
      const tier = await startSharedTier(config, log);
      log.info({ grpc: tier.grpc, http: tier.http, status: tier.status }, 'listening');
      return tier;
    },
  },
  { args: process.argv.slice(2), env: process.env },
);
