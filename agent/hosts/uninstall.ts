import { join } from 'node:path';
import type { Logger } from '../../service/log.ts';
import { uninstall } from './edit.ts';
import {
  DEFAULT_REGISTRY,
  listRegistries,
  readHostsFile,
  removeHostsFile,
  removeLeftovers,
  writeHostsFile,
} from './hosts-file.ts';

/**
 * Makes the hosts.toml files of a directory what they were before the agent at this URL wrote to them. The agent must
 * have ended, or it puts its lines in again.
 *
 * @throws Error naming the files that could not be restored
 */
export async function uninstallHosts(directory: string, url: string, log: Logger): Promise<void> {
  const failed: string[] = [];
  for (const registry of new Set([...(await listRegistries(directory)), DEFAULT_REGISTRY])) {
    try {
      await restore(join(directory, registry), url, log);
    } catch (error) {
      const file = join(directory, registry, 'hosts.toml');
      log.error({ file, err: error }, 'hosts.toml could not be restored');
      failed.push(`${file}: ${error instanceof Error ? error.message : String(error)}`);
    }
  }
  if (failed.length > 0) throw new Error(`could not be restored:\n${failed.map((each) => `  ${each}`).join('\n')}`);
}

async function restore(registryDirectory: string, url: string, log: Logger): Promise<void> {
  await removeLeftovers(registryDirectory);
  const file = await readHostsFile(registryDirectory);
  // What cannot be read as a file has no lines of ours; it never had.
  if ('unusable' in file || !file.content) return;
  // Our lines are found in any bytes, broken text included: one character a byte, there and back.
  const todo = uninstall(file.content.bytes.toString('latin1'), url);
  if (todo.kind === 'keep') return;
  if (todo.kind === 'remove') {
    await removeHostsFile(file, todo.madeDirectories);
    log.info({ file: file.path }, 'hosts.toml removed');
    return;
  }
  const isWritten = await writeHostsFile(file, Buffer.from(todo.text, 'latin1'));
  if (!isWritten) throw new Error('it was changed while it was restored; try again');
  log.info({ file: file.path }, 'hosts.toml restored');
}
