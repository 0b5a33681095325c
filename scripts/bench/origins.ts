import { fileURLToPath } from 'node:url';
import { Daemon } from '../lab/daemon.ts';
import type { Namespace } from '../lab/network.ts';
import type { Moods } from '../../test/support/origin-moods.ts';

export interface GeneratedOriginRequest {
  readonly blobs: readonly { readonly sizeBytes: number; readonly seed: number }[];
  readonly mood: Moods;
}

export interface GeneratedOriginReady {
  readonly url: string;
  /** Of the blobs, in order. */
  readonly digests: readonly string[];
}

export interface GeneratedOrigin extends GeneratedOriginReady, AsyncDisposable {
  readonly pid: number;
}

const PROGRAM = fileURLToPath(new URL('generated-origin.ts', import.meta.url));
/** Ten GiB are hashed first. */
const READY_MS = 120_000;

/** Starts a registry with moods in a namespace and waits until it has its blobs. */
export async function startGeneratedOrigin(
  namespace: Namespace,
  logFile: string,
  request: GeneratedOriginRequest,
): Promise<GeneratedOrigin> {
  const argv = namespace.command([process.execPath, PROGRAM, JSON.stringify(request)]);
  const daemon = await Daemon.start({ argv, logFile });
  try {
    await daemon.until('ready', async () => (await daemon.log()).includes('\n'), READY_MS);
    const [line = ''] = (await daemon.log()).split('\n', 1);
    const ready = JSON.parse(line) as GeneratedOriginReady;
    return { ...ready, pid: daemon.pid, [Symbol.asyncDispose]: async () => await daemon[Symbol.asyncDispose]() };
  } catch (error) {
    await daemon[Symbol.asyncDispose]();
    throw error;
  }
}
