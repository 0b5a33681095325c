import { X509Certificate, createPrivateKey } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { createSecureContext } from 'node:tls';
import type { Problems } from './env.ts';

/** Where certificates and keys are, as PEM. Certificate and key come together. */
export interface TlsFiles {
  readonly certFile?: string | undefined;
  readonly keyFile?: string | undefined;
  /** What is trusted as the other side. */
  readonly caFile?: string | undefined;
}

/** What the files had in them at one moment: checked, and fit for each other. */
export interface TlsContents {
  readonly cert: Buffer | undefined;
  readonly key: Buffer | undefined;
  readonly ca: Buffer | undefined;
  /** End of the own certificate, in ms since 1970; undefined without one. */
  readonly endsAtMs: number | undefined;
}

const CERTIFICATE = /-----BEGIN CERTIFICATE-----[^-]+-----END CERTIFICATE-----/g;

/** Reads and checks the files. @throws Error that names the file and says what is wrong with it */
export function readTlsFiles(files: TlsFiles): TlsContents {
  return parse(
    files,
    [files.certFile, files.keyFile, files.caFile].map((path) => (path === undefined ? undefined : readFileSync(path))),
  );
}

/** The same without blocking. @throws as `readTlsFiles` */
export async function rereadTlsFiles(files: TlsFiles): Promise<TlsContents> {
  const paths = [files.certFile, files.keyFile, files.caFile];
  return parse(files, await Promise.all(paths.map(async (path) => (path === undefined ? path : await readFile(path)))));
}

/**
 * The part of a configuration that says where certificates are: both certificate and key or neither, and all of them
 * usable. What is wrong is added to the problems under the variable's name.
 *
 * @param variables the names of the variables, and what they say
 */
export function checkTlsFiles(
  variables: {
    cert: [string, string | undefined];
    key: [string, string | undefined];
    ca?: [string, string | undefined];
  },
  problems: Problems,
): TlsFiles {
  const [certName, certFile] = variables.cert;
  const [keyName, keyFile] = variables.key;
  const [caName, caFile] = variables.ca ?? ['', undefined];
  if (certFile !== undefined && keyFile === undefined) problems.add(keyName, `expected, because ${certName} is set`);
  if (keyFile !== undefined && certFile === undefined) problems.add(certName, `expected, because ${keyName} is set`);
  const cert = problems.attempt(certName, () => readTlsFiles({ certFile }));
  const key = problems.attempt(keyName, () => readTlsFiles({ keyFile }));
  if (cert && key) problems.attempt(keyName, () => readTlsFiles({ certFile, keyFile }));
  problems.attempt(caName, () => readTlsFiles({ caFile }));
  return { certFile, keyFile, caFile };
}

function parse({ certFile, keyFile, caFile }: TlsFiles, [cert, key, ca]: (Buffer | undefined)[]): TlsContents {
  const own = cert && attempt(certFile, 'is no certificate', () => new X509Certificate(cert));
  const secret = key && attempt(keyFile, 'is no private key', () => createPrivateKey(key));
  if (own && secret && !own.checkPrivateKey(secret)) {
    throw new Error(`the key in ${keyFile ?? ''} does not belong to the certificate in ${certFile ?? ''}`);
  }
  if (ca) {
    const blocks = ca.toString('latin1').match(CERTIFICATE);
    if (!blocks) throw new Error(`${caFile ?? ''} has no certificate`);
    for (const block of blocks) attempt(caFile, 'has a broken certificate', () => new X509Certificate(block));
  }
  // The last word is OpenSSL's: a chain may be broken behind its first certificate, or an algorithm not be allowed.
  if (cert || key || ca) attempt(certFile ?? caFile, 'is not accepted', () => createSecureContext({ cert, key, ca }));
  return { cert, key, ca, endsAtMs: own?.validToDate.getTime() };
}

function attempt<T>(path: string | undefined, what: string, read: () => T): T {
  try {
    return read();
  } catch (error) {
    throw new Error(`${path ?? ''} ${what}: ${error instanceof Error ? error.message : String(error)}`, {
      cause: error,
    });
  }
}
