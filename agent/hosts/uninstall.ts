import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import type { Logger } from '../../service/log.ts';
import { uninstall } from './edit.ts';
import { DEFAULT_REGISTRY, listRegistries, readHostsFile, removeDirectories, writeHostsFile } from './hosts-file.ts';
import { removeCertificate } from './mirror-certificate.ts';
import { removeLeftovers } from './replace-file.ts';

/**
 * Makes the hosts.toml files of a directory what they were before the agent at this URL wrote to them, be it that of
 * http or of https. The agent must have ended, or it puts its lines in again.
 *
 * @throws Error naming the files that could not be restored
 */
export async function uninstallHosts(directory: string, url: string, log: Logger): Promise<void> {
  const failed: string[] = [];
  const made: Made[] = [];
  for (const registry of new Set([...(await listRegistries(directory)), DEFAULT_REGISTRY])) {
    try {
      const emptied = await restore(join(directory, registry), url, log);
      if (emptied) made.push(emptied);
    } catch (error) {
      const file = join(directory, registry, 'hosts.toml');
      log.error({ file, err: error }, 'hosts.toml could not be restored');
      failed.push(`${file}: ${error instanceof Error ? error.message : String(error)}`);
    }
  }
  await removeLeftovers(directory);
  // A file that names the certificate fails pulls without it.
  if (failed.length === 0 && (await removeCertificate(directory, url))) log.info({ directory }, 'certificate removed');
  for (const { registryDirectory, count } of made) await removeDirectories(registryDirectory, count);
  if (failed.length > 0) throw new Error(`could not be restored:\n${failed.map((each) => `  ${each}`).join('\n')}`);
}

/** So many directories, this one and those above it, were made for a hosts.toml that is gone. */
interface Made {
  readonly registryDirectory: string;
  readonly count: number;
}

async function restore(registryDirectory: string, url: string, log: Logger): Promise<Made | undefined> {
  await removeLeftovers(registryDirectory);
  const file = await readHostsFile(registryDirectory);
  // What cannot be read as a file has no lines of ours; it never had.
  if ('unusable' in file || !file.content) return undefined;
  // Our lines are found in any bytes, broken text included: one character a byte, there and back.
  const todo = uninstall(file.content.bytes.toString('latin1'), url);
  if (todo.kind === 'keep') return undefined;
  if (todo.kind === 'remove') {
    await rm(file.target);
    log.info({ file: file.path }, 'hosts.toml removed');
    return { registryDirectory, count: todo.madeDirectories };
  }
  const isWritten = await writeHostsFile(file, Buffer.from(todo.text, 'latin1'));
  if (!isWritten) throw new Error('it was changed while it was restored; try again');
  log.info({ file: file.path }, 'hosts.toml restored');
  return undefined;
}
