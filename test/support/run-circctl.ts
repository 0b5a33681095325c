import { runCircctl } from '../../circctl/circctl.ts';

/** What a run of circctl ended with. */
export interface Ran {
  readonly code: number;
  readonly out: string;
  readonly err: string;
  /** Standard output, line by line, of `--json`. */
  json(): Record<string, unknown>[];
}

export interface RunOptions {
  readonly env?: Readonly<Record<string, string>>;
  readonly input?: string;
  readonly isInteractive?: boolean;
}

/** Runs circctl in this process: `await circctl(['status'], { env })`. */
export async function circctl(args: readonly string[], options: RunOptions = {}): Promise<Ran> {
  const { env = {}, input = '', isInteractive = false } = options;
  let [out, err] = ['', ''];
  const code = await runCircctl(args, env, {
    out: (text) => (out += text),
    err: (text) => (err += text),
    isInteractive,
    columns: 80,
    input: () => Promise.resolve(input),
  });
  const json = (): Record<string, unknown>[] =>
    out
      .split('\n')
      .filter((line) => line !== '')
      .map((line) => JSON.parse(line) as Record<string, unknown>);
  return { code, out, err, json };
}
