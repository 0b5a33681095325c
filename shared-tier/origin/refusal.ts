import { OciError } from '../../oci/error.ts';
import { parseChallenges } from './challenge.ts';
import type { Credential } from './credential.ts';
import type { Origin } from './origin.ts';
import { isRelayable } from './realm.ts';

export interface Refused {
  readonly origin: Origin;
  readonly credential: Credential;
  readonly kind: 'manifest' | 'blob';
  /** What a bare request is challenged with, or, when the caller's own header was refused, what came with that. */
  readonly lines: readonly string[];
}

/**
 * What a caller is told whom the origin refuses. Who sent no credentials is asked for them, with the origin's challenge;
 * so is whose token is over. Anybody else hears that there is nothing, as if there were nothing.
 */
export function refusalOf({ origin, credential, kind, lines }: Refused): OciError {
  const challenge = challengeFor(credential, lines);
  if (challenge && isRelayable(origin, challenge)) {
    return new OciError('UNAUTHORIZED', 'authentication is needed', { challenge, denied: true });
  }
  return denied(kind);
}

/** The words for what is not there, and for what is not for this caller. */
export function unknown(kind: 'manifest' | 'blob'): OciError {
  return new OciError(kind === 'blob' ? 'BLOB_UNKNOWN' : 'MANIFEST_UNKNOWN', `${kind} unknown`);
}

export function denied(kind: 'manifest' | 'blob'): OciError {
  const { code, message } = unknown(kind);
  return new OciError(code, message, { denied: true });
}

function challengeFor({ authorization }: Credential, lines: readonly string[]): readonly string[] | undefined {
  if (!authorization) return lines;
  const [bearer, ...others] = parseChallenges(lines) ?? [];
  if (authorization.basic || bearer?.scheme !== 'bearer' || others.length > 0) return undefined;
  const error = bearer.parameters.get('error');
  if (error !== undefined) return error === 'invalid_token' ? lines : undefined;
  // containerd repeats the same token four more times unless it is told that it is invalid.
  const isOver = (authorization.expiresAtMs ?? Infinity) <= Date.now();
  return isOver ? [`${lines[0]},error="invalid_token"`] : undefined;
}
