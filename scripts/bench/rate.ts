import { fileURLToPath } from 'node:url';
import type { Namespace } from '../lab/network.ts';
import { run } from '../lab/run.ts';

/** What is asked for again and again. */
export interface RateRequest {
  readonly method: 'GET' | 'HEAD';
  readonly url: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly connections: number;
  readonly durationMs: number;
}

/** How often it was answered. */
export interface RateResult {
  readonly requests: number;
  readonly durationMs: number;
}

const CLIENT = fileURLToPath(new URL('rate-client.ts', import.meta.url));

/** Runs one such client to its end. @throws when any of its answers was not 200 */
export async function askAgain(namespace: Namespace, request: RateRequest): Promise<RateResult> {
  const argv = namespace.command([process.execPath, CLIENT, JSON.stringify(request)]);
  const { stdout } = await run(argv, { timeoutMs: request.durationMs + 30_000 });
  return JSON.parse(stdout) as RateResult;
}
