import { DEFAULT_REGISTRY } from '../../../agent/hosts/hosts-file.ts';
import { mirrorAt, mirrorLines } from '../../../agent/hosts/mirror.ts';
import { type Check, type Finding, verdictOf } from '../check.ts';
import { certsDirectoryOf } from '../containerd-config.ts';
import { findHosts } from '../hosts-files.ts';

/** Are hosts.toml files written where containerd of this distribution reads them? */
export const certsDirectory: Check = {
  name: 'certs-directory',
  async run(node) {
    const { agent, containerd } = node;
    const wanted = certsDirectoryOf(containerd);
    const { name } = containerd.distribution;
    const findings: Finding[] = [];
    if (agent.certsDirectory !== undefined && agent.certsDirectory !== wanted) {
      findings.push({
        problem: `the agent writes its hosts.toml files to ${agent.certsDirectory}, but ${name} reads those in ${wanted}`,
        mend: [
          `run the agent with --uninstall once, so that nothing of it stays in ${agent.certsDirectory}`,
          `set CIRC_CONTAINERD_CERTS_DIR=${wanted}`,
        ],
      });
    }
    const [byDefault] = await findHosts(node);
    if (byDefault && !byDefault.isOurs && byDefault.trouble === undefined) {
      findings.push({
        problem: `nothing leads containerd to the agent: no ${byDefault.path} with it as first host`,
        mend: [
          `set CIRC_CONTAINERD_CERTS_DIR=${wanted} and start the agent, or write ${wanted}/${DEFAULT_REGISTRY}/hosts.toml:`,
          ...mirrorLines(mirrorAt(agent.listen, agent.mirrorTls)),
        ],
      });
    }
    return verdictOf(findings, `${wanted}, of ${name}, leads to the agent`);
  },
};
