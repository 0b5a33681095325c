import { type KeyObject, generateKeyPairSync, randomBytes, sign } from 'node:crypto';
import { mkdir, rename, rm, symlink, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import ipaddr from 'ipaddr.js';
import { der } from './der.ts';

const DAY_MS = 24 * 3600_000;
/** Types of alternative names: https://www.rfc-editor.org/rfc/rfc5280#section-4.2.1.6 */
const DNS = 2;
const URI = 6;
const IP = 7;
/** https://www.rfc-editor.org/rfc/rfc5280#section-4.2.1.3 */
const MAY_SIGN_CERTIFICATES_AND_CRLS = der.bitString(Buffer.of(0b0000_0110), { unused: 1 });
const USAGES = { server: der.oid('1.3.6.1.5.5.7.3.1'), client: der.oid('1.3.6.1.5.5.7.3.2') };
const ECDSA_WITH_SHA256 = der.sequence(der.oid('1.2.840.10045.4.3.2'));

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
  readonly #key: KeyObject;
  /** PEM of what is to be trusted. */
  readonly pem: string;
  readonly #subject: Buffer;

  constructor(name = 'CA of a test') {
    this.#subject = commonName(name);
    const { privateKey, publicKey } = keyPair();
    this.#key = privateKey;
    const extensions = [
      extension('2.5.29.19', der.sequence(der.true()), { critical: true }),
      extension('2.5.29.15', MAY_SIGN_CERTIFICATES_AND_CRLS, { critical: true }),
    ];
    this.pem = this.#sign({ subject: this.#subject, publicKey, endsAtMs: Date.now() + DAY_MS, extensions });
  }

  issue({ names = [], ips = [], uris = [], validForMs = DAY_MS, usage = 'server' }: CertificateOptions = {}): Issued {
    const { privateKey, publicKey } = keyPair();
    const altNames = [
      ...names.map((name) => der.implicit(DNS, Buffer.from(name))),
      ...uris.map((uri) => der.implicit(URI, Buffer.from(uri))),
      ...ips.map((ip) => der.implicit(IP, Buffer.from(ipaddr.parse(ip).toByteArray()))),
    ];
    const extensions = [
      extension('2.5.29.17', der.sequence(...altNames)),
      extension('2.5.29.37', der.sequence(USAGES[usage])),
    ];
    const endsAtMs = Math.floor((Date.now() + validForMs) / 1000) * 1000;
    const cert = this.#sign({ subject: commonName('subject of a test'), publicKey, endsAtMs, extensions });
    return { cert, key: privateKey.export({ type: 'pkcs8', format: 'pem' }), endsAtMs };
  }

  /** https://www.rfc-editor.org/rfc/rfc5280#section-4.1 */
  #sign({ subject, publicKey, endsAtMs, extensions }: Unsigned): string {
    const unsigned = der.sequence(
      der.explicit(0, der.integer(2)),
      der.integer(1, ...randomBytes(8)),
      ECDSA_WITH_SHA256,
      this.#subject,
      der.sequence(der.time(Date.now() - 2 * DAY_MS), der.time(endsAtMs)),
      subject,
      publicKey.export({ type: 'spki', format: 'der' }),
      der.explicit(3, der.sequence(...extensions)),
    );
    const signed = der.sequence(unsigned, ECDSA_WITH_SHA256, der.bitString(sign('sha256', unsigned, this.#key)));
    const lines = signed.toString('base64').match(/.{1,64}/g) ?? [];
    return `-----BEGIN CERTIFICATE-----\n${lines.join('\n')}\n-----END CERTIFICATE-----\n`;
  }
}

interface Unsigned {
  readonly subject: Buffer;
  readonly publicKey: KeyObject;
  readonly endsAtMs: number;
  readonly extensions: readonly Buffer[];
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

function commonName(name: string): Buffer {
  return der.sequence(der.set(der.sequence(der.oid('2.5.4.3'), der.text(name))));
}

function extension(id: string, value: Buffer, { critical = false } = {}): Buffer {
  return der.sequence(der.oid(id), ...(critical ? [der.true()] : []), der.octetString(value));
}

/** Of an elliptic curve: RSA takes a thousand times as long, and tests make hundreds. */
function keyPair(): { publicKey: KeyObject; privateKey: KeyObject } {
  return generateKeyPairSync('ec', { namedCurve: 'P-256' });
}
