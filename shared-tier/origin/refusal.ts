import { OciError } from '../../oci/error.ts';
import { parseChallenges } from './challenge.ts';
import type { Credential } from './credential.ts';
import type { Origin } from './origin.ts';
import { isRelayable } from './realm.ts';

/** What an origin is asked to read. */
export type Asked = 'manifest' | 'blob' | 'list';

export interface Refused {
  readonly origin: Origin;
  readonly credential: Credential;
  readonly kind: Asked;
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

const UNKNOWN = {
  manifest: ['MANIFEST_UNKNOWN', 'manifest'],
  blob: ['BLOB_UNKNOWN', 'blob'],
  list: ['NAME_UNKNOWN', 'repository'],
} as const;

/** The words for what is not there, and for what is not for this caller. */
export function unknown(kind: Asked): OciError {
  const [code, what] = UNKNOWN[kind];
  return new OciError(code, `${what} unknown`);
}

export function denied(kind: Asked): OciError {
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
