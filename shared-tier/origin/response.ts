import type { Dispatcher } from 'undici';
import { OciError } from '../../oci/error.ts';
import type { Origin } from './origin.ts';

export type OriginKind = 'manifest' | 'blob' | 'list' | 'push' | 'token';

/** One request was answered (status) or not (0). */
export type ObserveOrigin = (event: {
  origin: Origin;
  kind: OriginKind;
  method: 'GET' | 'HEAD' | 'POST' | 'PATCH' | 'PUT' | 'DELETE';
  status: number;
  /** The host that was asked: the registry's, one it redirects to, or its token service's. */
  host: string;
  /** Why there was no answer. */
  error?: unknown;
}) => void;

export type OriginResponse = Dispatcher.ResponseData;

const MAX_ERROR_BYTES = 64 * 1024;

/** Reads a body that must be small. @throws OciError UNAVAILABLE when it is larger */
export async function readBody({ body }: OriginResponse, maxBytes: number): Promise<Buffer> {
  const pieces: Buffer[] = [];
  let bytes = 0;
  for await (const piece of body as AsyncIterable<Buffer>) {
    bytes += piece.length;
    if (bytes > maxBytes) throw new OciError('UNAVAILABLE', 'the origin sent more than such an object may have');
    pieces.push(piece);
  }
  return Buffer.concat(pieces);
}

/** A body that nobody wants is read to its end if it is short, so that the connection can be used again. */
export async function discard({ body }: OriginResponse): Promise<void> {
  await body.dump({ limit: MAX_ERROR_BYTES }).catch(() => undefined);
}
