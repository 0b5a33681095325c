import { readFile } from 'node:fs/promises';
import { OciError } from '../oci/error.ts';

/** kubelet renews a token when a fifth of its life is left, at least two minutes. */
const REREAD_MS = 5_000;

/** The agent's projected ServiceAccount token, read again as it is renewed. */
export class TokenFile {
  readonly #path: string;
  readonly #rereadMs: number;
  #token: Promise<string> | undefined;
  #readAtMs = -Infinity;

  constructor(path: string, { rereadMs = REREAD_MS }: { rereadMs?: number } = {}) {
    this.#path = path;
    this.#rereadMs = rereadMs;
  }

  /** @throws OciError UNAVAILABLE when there is no token in the file */
  async current(): Promise<string> {
    if (performance.now() - this.#readAtMs >= this.#rereadMs) {
      this.#readAtMs = performance.now();
      this.#token = this.#read();
    }
    return await (this.#token ?? this.#read());
  }

  async #read(): Promise<string> {
    try {
      const token = (await readFile(this.#path, 'utf8')).trim();
      if (!/^[\x21-\x7e]+$/.test(token)) throw new Error(`${this.#path} has no token`);
      return token;
    } catch (cause) {
      this.#readAtMs = -Infinity;
      throw new OciError('UNAVAILABLE', 'the shared tier cannot be asked now', { cause });
    }
  }
}
