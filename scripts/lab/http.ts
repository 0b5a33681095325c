import type { Namespace } from './network.ts';

export interface Answer {
  readonly status: number;
  readonly body: string;
  /** From the start of the request to the last byte of the answer. */
  readonly durationMs: number;
}

/**
 * One GET from inside a namespace, where this process cannot open sockets itself.
 *
 * @param accept media types, where the server must not choose
 * @throws when there is no answer within ten seconds
 */
export async function get(namespace: Namespace, url: string, accept = '*/*'): Promise<Answer> {
  const options = ['--noproxy', '*', '-m', '10', '-w', '\n%{http_code} %{time_total}', '-H', `Accept: ${accept}`];
  const { stdout } = await namespace.run(['curl', '-sS', ...options, url], { timeoutMs: 15_000 });
  const end = stdout.lastIndexOf('\n');
  const [status, seconds] = stdout.slice(end + 1).split(' ');
  return { status: Number(status), body: stdout.slice(0, end), durationMs: Number(seconds) * 1000 };
}
