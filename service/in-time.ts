import { OciError } from '../oci/error.ts';
import type { OciSource } from './oci-source.ts';

/** containerd gives a silent mirror up after 30 s, older ones never: it has an answer before. */
export const ANSWER_MS = 24_000;

/** A source whose answers come within the limit, or are UNAVAILABLE. What was asked goes on; others may wait for it. */
export function inTime(source: OciSource, limitMs = ANSWER_MS): OciSource {
  return {
    manifest: (request, options) => within(limitMs, source.manifest(request, options)),
    statBlob: (request, options) => within(limitMs, source.statBlob(request, options)),
    list: (request) => within(limitMs, source.list(request)),
    openBlob: async (request, options) => {
      const answer = source.openBlob(request, options);
      try {
        return await within(limitMs, answer);
      } catch (error) {
        void answer.then((late) => late[Symbol.asyncDispose]()).catch(() => undefined); // what it failed with is told
        throw error;
      }
    },
  };
}

async function within<T>(limitMs: number, answer: Promise<T>): Promise<T> {
  const { promise, reject } = Promise.withResolvers<never>();
  const timer = setTimeout(() => reject(new OciError('UNAVAILABLE', 'there is no answer in time')), limitMs);
  try {
    return await Promise.race([answer, promise]);
  } finally {
    clearTimeout(timer);
  }
}
