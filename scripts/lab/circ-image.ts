import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { repositoryRoot } from './paths.ts';
import { run } from './run.ts';

const BUILD_MS = 180_000;

/** circ's own image, built from the sources as they are; disposing removes it. */
export interface CircImage extends AsyncDisposable {
  /** As `crane push` takes it. */
  readonly layout: string;
  /** As `ctr images import` takes it. */
  readonly archive: string;
  readonly digest: string;
}

/** Builds the image without a container engine: `npm run image`. */
export async function buildCircImage(reference: string): Promise<CircImage> {
  const directory = await mkdtemp(join(tmpdir(), 'circ-image-'));
  const layout = join(directory, 'image');
  const argv = [process.execPath, 'scripts/image.ts', '--output', layout, '--name', reference];
  const { stdout } = await run(argv, { cwd: repositoryRoot, timeoutMs: BUILD_MS });
  const digest = /@(sha256:[0-9a-f]{64})$/m.exec(stdout)?.[1];
  if (digest === undefined) throw new Error(`no digest in ${stdout}`);
  return {
    layout,
    archive: `${layout}.tar`,
    digest,
    [Symbol.asyncDispose]: async () => await rm(directory, { recursive: true }),
  };
}
