import { generateKeyPairSync, randomBytes } from 'node:crypto';
import { mkdir, rename, rm, symlink, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import forge from 'node-forge';

const DAY_MS = 24 * 3600_000;
/** Types of alternative names: https://www.rfc-editor.org/rfc/rfc5280#section-4.2.1.6 */
const DNS = 2;
const URI = 6;
const IP = 7;

/** What a certificate says. */
export interface CertificateOptions {
  readonly names?: readonly string[];
  readonly ips?: readonly string[];
  readonly uris?: readonly string[];
  /** When it ends, from now; negative: it has. */
  readonly validForMs?: number;
  readonly usage?: 'server' | 'client';
}

/** PEM of a certificate and its key. */
export interface Issued {
  readonly cert: string;
  readonly key: string;
  readonly endsAtMs: number;
}

/** A certificate authority that lives as long as its test. */
export class TestCa {
  readonly #key: string;
  /** PEM of what is to be trusted. */
  readonly pem: string;
  readonly #subject: forge.pki.CertificateField[];

  constructor(name = 'CA of a test') {
    this.#subject = [{ name: 'commonName', value: name }];
    const { privateKey, publicKey } = keyPair();
    this.#key = privateKey;
    const extensions = [
      { name: 'basicConstraints', cA: true, critical: true },
      { name: 'keyUsage', keyCertSign: true, cRLSign: true, critical: true },
    ];
    this.pem = this.#sign({ subject: this.#subject, publicKey, endsAtMs: Date.now() + DAY_MS, extensions });
  }

  issue({ names = [], ips = [], uris = [], validForMs = DAY_MS, usage = 'server' }: CertificateOptions = {}): Issued {
    const { privateKey, publicKey } = keyPair();
    const altNames = [
      ...names.map((value) => ({ type: DNS, value })),
      ...uris.map((value) => ({ type: URI, value })),
      ...ips.map((ip) => ({ type: IP, ip })),
    ];
    const extensions = [
      { name: 'subjectAltName', altNames },
      { name: 'extKeyUsage', [usage === 'server' ? 'serverAuth' : 'clientAuth']: true },
    ];
    const endsAtMs = Math.floor((Date.now() + validForMs) / 1000) * 1000;
    const subject = [{ name: 'commonName', value: 'subject of a test' }];
    return { cert: this.#sign({ subject, publicKey, endsAtMs, extensions }), key: privateKey, endsAtMs };
  }

  #sign(what: {
    subject: forge.pki.CertificateField[];
    publicKey: string;
    endsAtMs: number;
    extensions: object[];
  }): string {
    const certificate = forge.pki.createCertificate();
    certificate.publicKey = forge.pki.publicKeyFromPem(what.publicKey);
    certificate.serialNumber = `01${randomBytes(8).toString('hex')}`;
    certificate.validity.notBefore = new Date(Date.now() - 2 * DAY_MS);
    certificate.validity.notAfter = new Date(what.endsAtMs);
    certificate.setSubject(what.subject);
    certificate.setIssuer(this.#subject);
    certificate.setExtensions(what.extensions);
    certificate.sign(forge.pki.privateKeyFromPem(this.#key), forge.md.sha256.create());
    return forge.pki.certificateToPem(certificate);
  }
}

/** Files as a Kubernetes volume has them: links through a directory that is exchanged as a whole. */
export class CertificateVolume {
  readonly #directory: string;
  #generation = 0;

  constructor(directory: string) {
    this.#directory = directory;
  }

  get certFile(): string {
    return join(this.#directory, 'tls.crt');
  }

  get keyFile(): string {
    return join(this.#directory, 'tls.key');
  }

  get caFile(): string {
    return join(this.#directory, 'ca.crt');
  }

  /** Exchanges all files at once. */
  async write({ cert = '', key = '', ca = '' }: { cert?: string; key?: string; ca?: string }): Promise<this> {
    const before = `..generation-${this.#generation}`;
    this.#generation += 1;
    const name = `..generation-${this.#generation}`;
    await mkdir(join(this.#directory, name), { recursive: true });
    const files = { 'tls.crt': cert, 'tls.key': key, 'ca.crt': ca };
    for (const [file, text] of Object.entries(files)) await writeFile(join(this.#directory, name, file), text);
    await symlink(name, join(this.#directory, '..next'));
    await rename(join(this.#directory, '..next'), join(this.#directory, '..data'));
    if (this.#generation > 1) await rm(join(this.#directory, before), { recursive: true });
    else for (const file of Object.keys(files)) await symlink(join('..data', file), join(this.#directory, file));
    return this;
  }
}

function keyPair(): { publicKey: string; privateKey: string } {
  return generateKeyPairSync('rsa', {
    modulusLength: 2048,
    publicKeyEncoding: { type: 'spki', format: 'pem' },
    privateKeyEncoding: { type: 'pkcs8', format: 'pem' },
  });
}
