import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { exists } from './paths.ts';
import { run } from './run.ts';

/** PEM files of a key and its certificate. */
export interface KeyPair {
  readonly keyFile: string;
  readonly certFile: string;
}

const EC_KEY = ['openssl', 'ecparam', '-name', 'prime256v1', '-genkey', '-noout'];
const DAYS = ['-days', '30'];

/** A certificate authority of a lab's own, and what it has signed, in one directory. */
export class Pki {
  readonly caFile: string;
  readonly #directory: string;

  private constructor(directory: string) {
    this.#directory = directory;
    this.caFile = join(directory, 'ca.crt');
  }

  static async create(directory: string): Promise<Pki> {
    const pki = new Pki(directory);
    const key = join(directory, 'ca.key');
    await run([...EC_KEY, '-out', key]);
    const uses = ['basicConstraints=critical,CA:true', 'keyUsage=critical,keyCertSign,cRLSign'];
    const extensions = uses.flatMap((use) => ['-addext', use]);
    const subject = ['-subj', '/CN=lab-ca', ...DAYS];
    await run(['openssl', 'req', '-x509', '-new', '-key', key, ...subject, '-out', pki.caFile, ...extensions]);
    return pki;
  }

  /**
   * A certificate for servers and clients.
   *
   * @param subject such as `/O=system:nodes/CN=system:node:n1`
   * @param names such as `IP:127.0.0.1,DNS:localhost`
   */
  async issue(name: string, subject: string, names?: string): Promise<KeyPair> {
    const [keyFile, certFile, request, extensions] = ['key', 'crt', 'csr', 'ext'].map((kind) =>
      join(this.#directory, `${name}.${kind}`),
    ) as [string, string, string, string];
    if (await exists(certFile)) return { keyFile, certFile };
    const lines = ['keyUsage=critical,digitalSignature', 'extendedKeyUsage=clientAuth,serverAuth'];
    if (names !== undefined) lines.push(`subjectAltName=${names}`);
    await writeFile(extensions, lines.join('\n'));
    await run([...EC_KEY, '-out', keyFile]);
    await run(['openssl', 'req', '-new', '-key', keyFile, '-subj', subject, '-out', request]);
    const ca = ['-CA', this.caFile, '-CAkey', join(this.#directory, 'ca.key'), '-CAcreateserial'];
    await run(['openssl', 'x509', '-req', '-in', request, ...ca, ...DAYS, '-extfile', extensions, '-out', certFile]);
    return { keyFile, certFile };
  }

  /** A key alone, and its public half: what service account tokens are signed with. */
  async signingKey(name: string): Promise<{ keyFile: string; publicFile: string }> {
    const [keyFile, publicFile] = [join(this.#directory, `${name}.key`), join(this.#directory, `${name}.pub`)];
    if (await exists(keyFile)) return { keyFile, publicFile };
    await run([...EC_KEY, '-out', keyFile]);
    await run(['openssl', 'ec', '-in', keyFile, '-pubout', '-out', publicFile]);
    return { keyFile, publicFile };
  }

  /** A kubeconfig by which the pair's subject speaks to the API at `server`. */
  async kubeconfig(server: string, { keyFile, certFile }: KeyPair): Promise<string> {
    const [ca, cert, key] = await Promise.all(
      [this.caFile, certFile, keyFile].map(async (file) => await readFile(file, 'base64')),
    );
    return `apiVersion: v1
kind: Config
current-context: lab
clusters: [{name: lab, cluster: {server: "${server}", certificate-authority-data: ${ca}}}]
users: [{name: lab, user: {client-certificate-data: ${cert}, client-key-data: ${key}}}]
contexts: [{name: lab, context: {cluster: lab, user: lab, namespace: default}}]
`;
  }
}
