import { existsSync } from 'node:fs';
import { dirname, isAbsolute, join } from 'node:path';
import type { TomlTable } from 'smol-toml';
import { hostTable } from '../../../agent/hosts/toml.ts';
import { type Check, type Finding, verdictOf } from '../check.ts';
import { findHosts } from '../hosts-files.ts';

/** A hosts.toml that containerd cannot use makes every pull from its registry fail; it does not go on without. */
export const brokenHosts: Check = {
  name: 'broken-hosts-toml',
  async run(node) {
    const files = await findHosts(node);
    const findings = files.flatMap(({ path, table, trouble, registry }): Finding[] => {
      const pulls =
        registry === '_default' ? 'all pulls without a directory of their own' : `all pulls from ${registry}`;
      if (trouble !== undefined) {
        return [{ problem: `${path} is broken (${trouble}): ${pulls} fail`, mend: ['mend it, or remove the file'] }];
      }
      const lost = table === undefined ? [] : certificatesIn(table).filter((name) => !isThere(node.root, path, name));
      return lost.map((name) => ({
        problem: `${path} names ${name}, which is not there: ${pulls} fail`,
        mend: [`put ${name} there, or take its line out of ${path}`],
      }));
    });
    const count = files.filter(({ table }) => table !== undefined).length;
    return verdictOf(findings, `${count} hosts.toml files, all of them good`);
  },
};

/** Files that are named as authorities or client certificates. */
function certificatesIn(table: TomlTable): string[] {
  const tables = [table, ...Object.values(hostTable(table))];
  return tables.flatMap((each) => {
    const { ca, client } = (typeof each === 'object' && !Array.isArray(each) ? each : {}) as TomlTable;
    return [ca, client].flat(3).filter((name) => typeof name === 'string');
  });
}

function isThere(root: string, path: string, name: string): boolean {
  return existsSync(join(root, isAbsolute(name) ? name : join(dirname(path), name)));
}
