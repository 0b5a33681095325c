import { type SecureContext, createSecureContext } from 'node:tls';
import { type TlsContents, type TlsFiles, readTlsFiles, rereadTlsFiles } from './tls-files.ts';

/** Older versions are not spoken, whatever Node's flags say; 1.3 is taken when both sides have it. */
export const MIN_TLS = 'TLSv1.2';

/** What happens to certificates while a program runs. */
export interface TlsMaterialEvents {
  /** Read, at the start or after a change. */
  readonly loaded: (contents: TlsContents) => void;
  /** The new files are no use; the old ones stay. Told once for each state of the files. */
  readonly kept: (error: unknown) => void;
  /** The own certificate has ended, and nothing better has come. Told once. */
  readonly ended: (contents: TlsContents) => void;
}

export interface TlsMaterialOptions {
  readonly events: TlsMaterialEvents;
  /** How often the files are looked at. */
  readonly intervalMs?: number;
}

const INTERVAL_MS = 2_000;

/**
 * Certificate, key and CA that follow their files, so that a rotation needs no restart. The contents are compared, a few
 * KiB every two seconds: kubelet and cert-manager exchange directories by symbolic links, which watches miss.
 */
export class TlsMaterial implements Disposable {
  readonly #files: TlsFiles;
  readonly #events: TlsMaterialEvents;
  readonly #listeners = new Set<() => void>();
  readonly #timer: NodeJS.Timeout;
  #contents: TlsContents;
  #context: SecureContext | undefined;
  #checking: Promise<void> | undefined;
  /** What was wrong at the last look, and whether that has been told. */
  #trouble: { readonly what: string; isTold: boolean } | undefined;
  #isEndTold = false;

  /** @throws Error that says which file cannot be used */
  constructor(files: TlsFiles, { events, intervalMs = INTERVAL_MS }: TlsMaterialOptions) {
    this.#files = files;
    this.#events = events;
    this.#contents = readTlsFiles(files);
    events.loaded(this.#contents);
    this.#tellEnd();
    this.#timer = setInterval(() => void this.check(), intervalMs);
    this.#timer.unref();
  }

  /** What is valid now. */
  get contents(): TlsContents {
    return this.#contents;
  }

  /** The same, for connections that begin now. */
  get context(): SecureContext {
    const { cert, key, ca } = this.#contents;
    this.#context ??= createSecureContext({ cert, key, ca, minVersion: MIN_TLS });
    return this.#context;
  }

  /** Calls the listener after each change, until it is disposed of. */
  onChange(listener: () => void): Disposable {
    this.#listeners.add(listener);
    return { [Symbol.dispose]: () => this.#listeners.delete(listener) };
  }

  /** Looks at the files now. */
  async check(): Promise<void> {
    this.#checking ??= this.#check().finally(() => {
      this.#checking = undefined;
    });
    await this.#checking;
  }

  [Symbol.dispose](): void {
    clearInterval(this.#timer);
    this.#listeners.clear();
  }

  async #check(): Promise<void> {
    try {
      const contents = await rereadTlsFiles(this.#files);
      if (!isEqual(contents, this.#contents)) this.#change(contents);
      this.#trouble = undefined;
    } catch (error) {
      this.#doubt(error);
    }
    this.#tellEnd();
  }

  /** @throws Error when the new certificate is worse than what there is */
  #change(contents: TlsContents): void {
    const [old, next] = [this.#contents.endsAtMs ?? Infinity, contents.endsAtMs ?? Infinity];
    if (next <= Date.now() && old > Date.now()) throw new Error('the new certificate has ended already');
    this.#contents = contents;
    this.#context = undefined;
    this.#isEndTold = false;
    this.#events.loaded(contents);
    for (const listener of this.#listeners) listener();
  }

  /** Files that are written one after the other do not fit each other for a moment: only what stays wrong is told. */
  #doubt(error: unknown): void {
    const what = error instanceof Error ? error.message : String(error);
    if (this.#trouble?.what !== what) this.#trouble = { what, isTold: false };
    else if (!this.#trouble.isTold) {
      this.#trouble.isTold = true;
      this.#events.kept(error);
    }
  }

  #tellEnd(): void {
    if (this.#isEndTold || (this.#contents.endsAtMs ?? Infinity) > Date.now()) return;
    this.#isEndTold = true;
    this.#events.ended(this.#contents);
  }
}

function isEqual(one: TlsContents, other: TlsContents): boolean {
  return (['cert', 'key', 'ca'] as const).every((part) => {
    const [a, b] = [one[part], other[part]];
    return a && b ? a.equals(b) : a === b;
  });
}
