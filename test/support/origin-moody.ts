import { generatedBlob, readBytes } from './blobs.ts';
import type { Moods } from './origin-moods.ts';
import { startOrigin } from './origin.ts';

export const SIZE = 100_000;
export const BYTES = readBytes(generatedBlob(SIZE));

/** An origin in a mood, with one blob of these bytes; `url` is the blob's. */
export async function moody(mood: Moods = {}) {
  const origin = await startOrigin({ mood });
  const { digest } = await origin.addBlob('org/app', generatedBlob(SIZE));
  return {
    origin,
    digest,
    url: `${origin.url}/v2/org/app/blobs/${digest}`,
    [Symbol.asyncDispose]: () => origin[Symbol.asyncDispose](),
  };
}
