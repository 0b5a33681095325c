import { type Check, type Finding, skipped, verdictOf } from '../check.ts';
import { certsDirectoryOf } from '../containerd-config.ts';

/**
 * Does containerd read hosts.toml at all? `config_path` has to be one directory: unset, it is ignored by containerd before
 * 2.2, and 2.2's own default is a list, of which the transfer service (all pulls since 2.1, unless unpacked layers are
 * discarded) reads nothing.
 */
export const configPath: Check = {
  name: 'config-path',
  async run({ root, containerd, containerdProgram }) {
    if (containerd.file === undefined && containerdProgram === undefined) {
      return skipped('nothing of containerd is seen from here; from kubectl debug node/… it is, with --root /host');
    }
    const { file, trouble, configPath: path, oldKeys, plugin, pullsLocally, distribution } = containerd;
    const where = file ?? distribution.config;
    const directory = certsDirectoryOf(containerd);
    const mend = [
      `in ${where}, under [plugins.'${plugin}'.registry], set config_path = "${directory}"`,
      distribution.how,
    ];
    const findings: Finding[] = [];
    if (trouble !== undefined) {
      findings.push({
        problem: `${root}${where} cannot be read: ${trouble}`,
        mend: ['mend the file', distribution.how],
      });
    } else if (path === undefined || path === '') {
      findings.push({ problem: 'containerd’s config_path is not set, so hosts.toml files mean nothing to it', mend });
    } else if (path.includes(':') && !pullsLocally) {
      const problem = `containerd’s config_path is a list (${path}); its transfer service, which pulls since 2.1, reads none of it`;
      findings.push({ problem, mend });
    } else if (oldKeys.length > 0) {
      const keys = oldKeys.join(' and ');
      const problem = `containerd refuses its configuration: registry.${keys} cannot stand beside config_path`;
      findings.push({ problem, mend: [`take registry.${keys} out of ${where}`, distribution.how] });
    }
    return verdictOf(findings, `containerd reads the hosts.toml files in ${directory}`);
  },
};
