import { formatSize } from '../service/units.ts';
import { type Terminal, plain } from './terminal.ts';

const BAR = 20;

/** `[########------------]  40 %  4 MiB of 10 MiB` */
export function formatBar(done: number, total: number): string {
  const part = total > 0 ? Math.min(1, done / total) : 0;
  const filled = Math.floor(part * BAR);
  const bar = '#'.repeat(filled) + '-'.repeat(BAR - filled);
  return `[${bar}] ${String(Math.floor(part * 100)).padStart(3)} %  ${formatSize(done)} of ${formatSize(total)}`;
}

/** A line that tells how far something is, written over again and again; on what is no terminal it is not shown. */
export class ProgressLine implements Disposable {
  readonly #terminal: Terminal;
  #isShown = false;

  constructor(terminal: Terminal) {
    this.#terminal = terminal;
  }

  show(text: string): void {
    if (!this.#terminal.isInteractive) return;
    this.#terminal.err(`\r\u{1b}[K${plain(text).slice(0, this.#terminal.columns - 1)}`);
    this.#isShown = true;
  }

  /** So that something else can be written. */
  clear(): void {
    if (this.#isShown) this.#terminal.err('\r\u{1b}[K');
    this.#isShown = false;
  }

  [Symbol.dispose](): void {
    this.clear();
  }
}
