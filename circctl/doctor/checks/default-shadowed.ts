import { DEFAULT_REGISTRY } from '../../../agent/hosts/hosts-file.ts';
import { mirrorAt, mirrorLines } from '../../../agent/hosts/mirror.ts';
import { type Check, type Finding, skipped, verdictOf } from '../check.ts';
import { findHosts } from '../hosts-files.ts';

/** A registry that has a directory, even an empty one, is not looked up in `_default`. */
export const defaultShadowed: Check = {
  name: 'default-shadowed',
  async run(node) {
    const [byDefault, ...registries] = await findHosts(node);
    if (byDefault?.isOurs !== true) return skipped('nothing leads to the agent by default; see certs-directory');
    const lines = mirrorLines(mirrorAt(node.agent.listen, node.agent.mirrorTls));
    const findings = registries
      .filter(({ isOurs, trouble }) => !isOurs && trouble === undefined)
      .map(({ registry, path, table }): Finding => {
        const why = table === undefined ? 'its directory is there, without a hosts.toml' : 'it names other hosts first';
        return {
          problem: `pulls from ${registry} do not come to the agent: ${path} hides ${DEFAULT_REGISTRY} (${why})`,
          mend: [
            'let the agent keep these files (CIRC_CONTAINERD_CERTS_DIR), or put these lines before the first [host of it:',
            ...lines,
          ],
        };
      });
    return verdictOf(findings, `${registries.length} registries have a directory of their own; all lead to the agent`);
  },
};
