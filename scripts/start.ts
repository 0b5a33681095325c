// circ without a cluster: agent and shared tier in one process, on loopback. For a first look, and for development.
import { AGENT_VARIABLES, readAgentConfig } from '../agent/config.ts';
import { Problems, withDefaults } from '../service/env.ts';
import { runProgram } from '../service/program.ts';
import type { TlsFiles } from '../service/tls-files.ts';
import { type Address, formatAddress } from '../service/units.ts';
import { TIER_VARIABLES, readTierConfig } from '../shared-tier/config.ts';
import { EMBEDDED } from './embedded.ts';

process.exitCode = await runProgram(
  {
    name: 'circ',
    purpose: 'agent and shared tier in one process, without a cluster',
    variables: withDefaults({ ...TIER_VARIABLES, ...AGENT_VARIABLES }, EMBEDDED),
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
      // Whoever asks for --help, or has a mistake in the settings, need not wait for all of it.
      const [{ startAgent }, { startSharedTier }] = await Promise.all([
        import('../agent/agent.ts'),
        import('../shared-tier/shared-tier.ts'),
      ]);
      await using starting = new AsyncDisposableStack();
      const tier = starting.use(await startSharedTier(config.tier, log.child({ part: 'shared-tier' })));
      // With TLS the certificate must have the name that the agent looks for; the port may have been chosen just now.
      const { tierTls, mirrorTls, sharedTier } = config.agent;
      const host = tierTls.caFile === undefined ? tier.grpc.host : sharedTier.host;
      const agent = starting.use(
        await startAgent({ ...config.agent, sharedTier: { host, port: tier.grpc.port } }, log.child({ part: 'agent' })),
      );
      process.stderr.write(
        welcome({
          mirror: urlOf(mirrorTls, agent.mirror),
          status: formatAddress(agent.status),
          tier: urlOf(config.tier.tls, tier.http),
          certsDirectory: config.agent.certsDirectory,
        }),
      );
      const running = starting.move();
      return { [Symbol.asyncDispose]: () => running[Symbol.asyncDispose]() };
    },
  },
  { args: process.argv.slice(2), env: process.env },
);

function urlOf(tls: TlsFiles, address: Address): string {
  return `${tls.certFile === undefined ? 'http' : 'https'}://${formatAddress(address)}`;
}

function hostIn(url: string): string {
  return new URL(url).host;
}

interface Places {
  readonly mirror: string;
  readonly status: string;
  readonly tier: string;
  readonly certsDirectory: string | undefined;
}

function welcome({ mirror, status, tier, certsDirectory }: Places): string {
  const byHand = `For containerd, put this into /etc/containerd/certs.d/_default/hosts.toml:

  [host."${mirror}"]
    capabilities = ["pull", "resolve"]
    dial_timeout = "5s"`;
  const isManaged = `The hosts.toml files in ${certsDirectory} are managed: they lead containerd here.`;
  return `
circ is running: one agent and one shared tier, on this machine only.

  mirror for containerd   ${mirror}
  its metrics             http://${status}/metrics
  shared tier             ${tier}   (podman, crane, docker: ${hostIn(tier)}/REGISTRY/REPOSITORY)

${certsDirectory === undefined ? byHand : isManaged}

Try it, twice:

  crane pull ${hostIn(mirror)}/docker.io/library/busybox:latest /tmp/busybox.tar
  curl -sI "${mirror}/v2/library/busybox/manifests/latest?ns=docker.io"

Ctrl-C ends it. What was cached stays in ./.circ
`;
}
