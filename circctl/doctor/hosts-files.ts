import { dirname, join } from 'node:path';
import type { TomlTable } from 'smol-toml';
import { DEFAULT_REGISTRY, listRegistries, readHostsFile } from '../../agent/hosts/hosts-file.ts';
import { isSameHost, mirrorAt } from '../../agent/hosts/mirror.ts';
import { hostsOf, parseToml } from '../../agent/hosts/toml.ts';
import type { Node } from './check.ts';
import { certsDirectoryOf } from './containerd-config.ts';

/** The hosts.toml of one registry, as containerd finds it. */
export interface FoundHosts {
  readonly registry: string;
  /** On the node. */
  readonly path: string;
  /** Undefined: there is no such file. */
  readonly table: TomlTable | undefined;
  /** Why containerd cannot read it. */
  readonly trouble: string | undefined;
  /** Does it lead to the agent first? */
  readonly isOurs: boolean;
}

/** All of them, `_default` first. */
export async function findHosts(node: Node): Promise<FoundHosts[]> {
  const directory = join(node.root, certsDirectoryOf(node.containerd));
  const names = [DEFAULT_REGISTRY, ...(await listRegistries(directory))];
  return await Promise.all(names.map(async (registry) => await findOne(node, directory, registry)));
}

async function findOne({ root, agent }: Node, directory: string, registry: string): Promise<FoundHosts> {
  const path = join(directory, registry, 'hosts.toml');
  const found = { registry, path: path.slice(root.length), table: undefined, isOurs: false };
  try {
    const file = await readHostsFile(dirname(path));
    if ('unusable' in file) return { ...found, trouble: file.unusable };
    if (!file.content) return { ...found, trouble: undefined };
    const table = parseToml(file.content.bytes.toString());
    const [first] = hostsOf(table);
    const { url } = mirrorAt(agent.listen, agent.mirrorTls);
    return { ...found, table, trouble: undefined, isOurs: first !== undefined && isSameHost(first, url) };
  } catch (error) {
    return { ...found, trouble: error instanceof Error ? error.message : String(error) };
  }
}
