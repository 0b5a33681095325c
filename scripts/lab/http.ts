import type { Namespace } from './network.ts';

export interface Answer {
  readonly status: number;
  readonly body: string;
  /** The header of that name; empty without one. */
  readonly link: string;
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
  const told = '\n%{http_code} %{time_total} %header{link}';
  const options = ['--noproxy', '*', '-m', '10', '-w', told, '-H', `Accept: ${accept}`];
  const { stdout } = await namespace.run(['curl', '-sS', ...options, url], { timeoutMs: 15_000 });
  const end = stdout.lastIndexOf('\n');
  const [status, seconds, ...link] = stdout.slice(end + 1).split(' ');
  const durationMs = Number(seconds) * 1000;
  return { status: Number(status), body: stdout.slice(0, end), link: link.join(' '), durationMs };
}
