import { fileURLToPath } from 'node:url';
import type { Namespace } from '../lab/network.ts';
import { run } from '../lab/run.ts';

/** What the load client is to do. */
export interface LoadRequest {
  readonly url: string;
  /** All of them GET the same at once. */
  readonly connections: number;
  /** Hash the body too; for one connection. */
  readonly verify?: boolean;
}

/** What it found. */
export interface LoadResult {
  /** From before the first connection to the last byte of the last. */
  readonly durationMs: number;
  /** Of all bodies together. */
  readonly bytes: number;
  /** Of each connection: from before it was made to the first byte of the body. */
  readonly firstByteMs: readonly number[];
  /** Only with `verify`. */
  readonly digest?: string;
}

const CLIENT = fileURLToPath(new URL('load-client.ts', import.meta.url));
const LOAD_MS = 15 * 60_000;

/** Runs one load client to its end. @throws when any of its answers was not 200 and whole */
export async function load(namespace: Namespace, request: LoadRequest): Promise<LoadResult> {
  const argv = [process.execPath, CLIENT, JSON.stringify(request)];
  const { stdout } = await namespace.run(argv, { timeoutMs: LOAD_MS });
  return JSON.parse(stdout) as LoadResult;
}

/** GETs a blob once and checks its bytes, which also brings it into the page cache. @throws when they are wrong */
export async function verify(namespace: Namespace, url: string, digest: string): Promise<void> {
  const result = await load(namespace, { url, connections: 1, verify: true });
  if (result.digest !== digest) throw new Error(`${url} gave the bytes of ${result.digest ?? 'nothing'}`);
}

/** Waits until what was written is on the disk, so that it is not written during the next measurement. */
export async function settleDisk(directory: string): Promise<void> {
  await run(['sync', '--file-system', directory], { timeoutMs: LOAD_MS });
}
