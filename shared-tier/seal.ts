import { createCipheriv, createDecipheriv, hkdfSync, randomBytes } from 'node:crypto';

const ALGORITHM = 'aes-256-gcm';
const NONCE_BYTES = 12;
const TAG_BYTES = 16;

/** What every sealed value has: when it ends, in ms since 1970. */
export interface Sealed {
  readonly endsAtMs: number;
}

/**
 * Values that travel through strangers' hands: sealed (AEAD) under a key of their own purpose, so that they can be
 * neither read, nor altered, nor used for another purpose, and every replica with the master key can open them.
 */
export class Seal<T extends Sealed> {
  readonly #key: Buffer;

  constructor(masterKey: Uint8Array, purpose: string) {
    this.#key = Buffer.from(hkdfSync('sha256', masterKey, '', `circ ${purpose}`, 32));
  }

  close(value: T): Buffer {
    const nonce = randomBytes(NONCE_BYTES);
    const cipher = createCipheriv(ALGORITHM, this.#key, nonce);
    return Buffer.concat([nonce, cipher.update(JSON.stringify(value)), cipher.final(), cipher.getAuthTag()]);
  }

  /** The value if this key sealed it and it has not ended. */
  open(sealed: Uint8Array): T | undefined {
    if (sealed.length < NONCE_BYTES + TAG_BYTES) return undefined;
    const decipher = createDecipheriv(ALGORITHM, this.#key, sealed.subarray(0, NONCE_BYTES), {
      authTagLength: TAG_BYTES,
    });
    decipher.setAuthTag(sealed.subarray(-TAG_BYTES));
    let text: string;
    try {
      text = Buffer.concat([decipher.update(sealed.subarray(NONCE_BYTES, -TAG_BYTES)), decipher.final()]).toString(
        'utf8',
      );
    } catch {
      return undefined; // not ours
    }
    const value = JSON.parse(text) as T;
    return value.endsAtMs > Date.now() ? value : undefined;
  }
}
