import { createHmac, hkdfSync } from 'node:crypto';
import type { Authorization } from '../../oci/authorization.ts';
import { OciError } from '../../oci/error.ts';
import type { Asker } from '../../oci/request.ts';
import { ANONYMOUS, type Credential } from '../origin/credential.ts';
import type { Origin } from '../origin/origin.ts';
import { type Asked, denied } from '../origin/refusal.ts';

/** Who asks a question, and as whom the origin is asked on its behalf. */
export interface Caller extends Asker {
  readonly credential: Credential;
}

/** What clients without `ns` are asked for: they would compute the scope of a token from a path that is ours. */
const PASSWORD_CHALLENGE = ['Basic realm="circ"'];

/** Makes callers of who asks. With the same master key every replica knows the same caller by the same name. */
export class Callers {
  readonly #key: Buffer;

  constructor(masterKey: Uint8Array) {
    this.#key = Buffer.from(hkdfSync('sha256', masterKey, '', 'circ caller', 32));
  }

  /**
   * A client without `ns` has chosen its credentials by our address, whatever registry the path names: they are shown
   * only to an origin that the operator has listed, or made the default. Others are asked anonymously.
   */
  of(asker: Asker, origin: Origin): Caller {
    const isForOrigin = asker.form === 'ns' || origin.isNamedByOperator;
    if (asker.authorization && isForOrigin) return { ...asker, credential: this.credential(asker.authorization) };
    return { ...asker, credential: { ...ANONYMOUS, mayBeAsked: asker.authorization === undefined } };
  }

  credential(authorization: Authorization): Credential {
    const key = createHmac('sha256', this.#key).update(authorization.header).digest('base64url');
    return { key, authorization, mayBeAsked: false };
  }
}

/** The form in which a caller is told that it is to authenticate; other errors stay as they are. */
export function answerFor(caller: Caller, kind: Asked, error: OciError): OciError {
  if (error.code !== 'UNAUTHORIZED') return error;
  // It has sent what it has, and that was not used: another challenge would bring the same again.
  if (caller.authorization && !caller.credential.authorization) return denied(kind);
  if (caller.form === 'ns') return error;
  return new OciError('UNAUTHORIZED', error.message, { challenge: PASSWORD_CHALLENGE, denied: true });
}
