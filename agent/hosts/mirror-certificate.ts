import { X509Certificate } from 'node:crypto';
import { readFile, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { missing } from './file-errors.ts';
import { certificateName } from './mirror.ts';
import { replaceFile } from './replace-file.ts';

/**
 * Puts the certificate of the agent at this URL where its hosts.toml files say it is: into containerd's directory, which
 * both see, though perhaps under different paths. Only the certificate itself, without those that have signed it:
 * containerd trusts what is there for the registry's token service as well, and an authority could vouch for anybody.
 *
 * @param chain PEM, the agent's own certificate first
 * @throws what the file system says; then the old copy, if there is one, is as it was
 */
export async function publishCertificate(directory: string, url: string, chain: Buffer): Promise<'written' | 'kept'> {
  const path = certificatePath(directory, url);
  const pem = Buffer.from(new X509Certificate(chain).toString());
  const before = await readFile(path).catch(missing(undefined));
  if (before?.equals(pem)) return 'kept';
  await replaceFile(path, pem);
  return 'written';
}

/** Takes it away again; nothing may name it any more. @returns was it there? */
export async function removeCertificate(directory: string, url: string): Promise<boolean> {
  return await rm(certificatePath(directory, url)).then(() => true, missing(false));
}

/** Where it is. */
export function certificatePath(directory: string, url: string): string {
  return join(directory, certificateName(url));
}
