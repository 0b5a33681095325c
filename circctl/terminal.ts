/** Where a command's output goes. */
export interface Terminal {
  /** Standard output: results. */
  out(text: string): void;
  /** Standard error: errors, and progress when that is a terminal. */
  err(text: string): void;
  /** Can a line of standard error be written over? */
  readonly isInteractive: boolean;
  /** Characters in a line. */
  readonly columns: number;
  /** What comes in on standard input, without the line's end. */
  input(): Promise<string>;
}

/** The terminal of this process. */
export function processTerminal(): Terminal {
  return {
    out: (text) => void process.stdout.write(text),
    err: (text) => void process.stderr.write(text),
    isInteractive: process.stderr.isTTY,
    columns: process.stderr.columns ?? 80,
    input: async () => {
      const pieces = await Array.fromAsync(process.stdin as AsyncIterable<Buffer>);
      return Buffer.concat(pieces)
        .toString()
        .replace(/\r?\n$/, '');
    },
  };
}

// oxlint-disable-next-line no-control-regex -- these are what must not reach a terminal
const CONTROLS = /[\u0000-\u001f\u007f-\u009f\u2028\u2029\u202a-\u202e\u2066-\u2069]/g;

/** Text of others, which must not steer the terminal. */
export function plain(text: string): string {
  return text.replace(CONTROLS, '\u{fffd}');
}
