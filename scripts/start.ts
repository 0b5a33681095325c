// circ without a cluster: agent and shared tier in one process, on loopback. For a first look, and for development.
import { startAgent } from '../agent/agent.ts';
import { AGENT_VARIABLES, readAgentConfig } from '../agent/config.ts';
import { Problems } from '../service/env.ts';
import { runProgram } from '../service/program.ts';
import { formatAddress } from '../service/units.ts';
import { TIER_VARIABLES, readTierConfig } from '../shared-tier/config.ts';
import { startSharedTier } from '../shared-tier/shared-tier.ts';

const EMBEDDED = {
  CIRC_AGENT_CACHE_DIR: './.circ/agent',
  CIRC_TIER_GRPC_LISTEN: '127.0.0.1:5060',
  CIRC_TIER_HTTP_LISTEN: '127.0.0.1:5061',
  CIRC_TIER_STATUS_LISTEN: '127.0.0.1:5062',
  CIRC_TIER_STORE: 'file://./.circ/tier',
};

process.exitCode = await runProgram(
  {
    name: 'circ',
    purpose: 'agent and shared tier in one process, without a cluster',
    variables: { ...TIER_VARIABLES, ...AGENT_VARIABLES },
    configure: (env) => {
      const all = { ...EMBEDDED, ...env };
      const problems = new Problems();
      const tier = problems.attempt('shared tier', () => readTierConfig(all));
      const agent = problems.attempt('agent', () => readAgentConfig(all));
      problems.throwIfAny();
      if (!tier || !agent) throw new Error('a configuration without problems is complete');
      return { tier, agent, logLevel: tier.logLevel };
    },
    graceMs: 900,
    start: async (config, log) => {
      await using starting = new AsyncDisposableStack();
      const tier = starting.use(await startSharedTier(config.tier, log.child({ part: 'shared-tier' })));
      const agent = starting.use(
        await startAgent({ ...config.agent, sharedTier: tier.grpc }, log.child({ part: 'agent' })),
      );
      const { certsDirectory } = config.agent;
      process.stderr.write(
        welcome(formatAddress(agent.mirror), formatAddress(agent.status), formatAddress(tier.http), certsDirectory),
      );
      const running = starting.move();
      return { [Symbol.asyncDispose]: () => running[Symbol.asyncDispose]() };
    },
  },
  { args: process.argv.slice(2), env: process.env },
);

function welcome(mirror: string, status: string, tier: string, certsDirectory: string | undefined): string {
  const byHand = `For containerd, put this into /etc/containerd/certs.d/_default/hosts.toml:

  [host."http://${mirror}"]
    capabilities = ["pull", "resolve"]
    dial_timeout = "5s"`;
  const isManaged = `The hosts.toml files in ${certsDirectory} are managed: they lead containerd here.`;
  return `
circ is running: one agent and one shared tier, on this machine only.

  mirror for containerd   http://${mirror}
  its metrics             http://${status}/metrics
  shared tier             http://${tier}   (podman, crane, docker: ${tier}/REGISTRY/REPOSITORY)

${certsDirectory === undefined ? byHand : isManaged}

Try it, twice:

  crane pull ${mirror}/docker.io/library/busybox:latest /tmp/busybox.tar
  curl -sI "http://${mirror}/v2/library/busybox/manifests/latest?ns=docker.io"

Ctrl-C ends it. What was cached stays in ./.circ
`;
}
