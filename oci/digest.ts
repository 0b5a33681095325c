import { createHash } from 'node:crypto';
import { OciError } from './error.ts';

/** Hash algorithms that the image spec registers (https://github.com/opencontainers/image-spec/blob/main/descriptor.md#registered-algorithms). */
export type Algorithm = 'sha256' | 'sha512';

declare const digest: unique symbol;

/** `algorithm:hex`, checked. Only `parseDigest` and `digestOf` make one, so it is safe in paths and URLs. */
export type Digest = string & { readonly [digest]: true };

const FORM = /^(?:sha256:[0-9a-f]{64}|sha512:[0-9a-f]{128})$/;

export function isDigest(text: string): text is Digest {
  return FORM.test(text);
}

/** @throws OciError DIGEST_INVALID unless it is a sha256 or sha512 digest in canonical (lower-case) form */
export function parseDigest(text: string): Digest {
  if (!isDigest(text)) throw new OciError('DIGEST_INVALID', 'a digest is sha256: or sha512: and lower-case hex');
  return text;
}

export function algorithmOf(value: Digest): Algorithm {
  return value.startsWith('sha256:') ? 'sha256' : 'sha512';
}

export function hexOf(value: Digest): string {
  return value.slice(7);
}

/** The digest of bytes that are small enough to be in memory. */
export function digestOf(bytes: Uint8Array, algorithm: Algorithm = 'sha256'): Digest {
  return `${algorithm}:${createHash(algorithm).update(bytes).digest('hex')}` as Digest;
}
