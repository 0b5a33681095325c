import type { PeerCertificate } from 'node:tls';
import { OciError } from '../../oci/error.ts';
import type { TokenReviews } from '../kubernetes/token-reviews.ts';
import type { AllowedCallers } from './allowed-callers.ts';
import { certificateNames } from './certificate-names.ts';

/** What a caller shows of itself. */
export interface Caller {
  /** Its ServiceAccount tokens; more than one is none. */
  readonly tokens: readonly string[];
  /** Its certificate, if the CA we trust vouches for it. */
  readonly certificate: PeerCertificate | undefined;
}

/**
 * May this caller ask anything at all? (Not: what it may read; that is asked for each request.)
 *
 * @throws OciError UNAUTHORIZED when not, UNAVAILABLE when that cannot be found out now; the message says what to do
 */
export type CallerCheck = (caller: Caller) => Promise<void>;

/** @param reviews makes what asks the Kubernetes API; called only if it is needed */
export async function callerCheck(
  allowed: AllowedCallers,
  reviews: (audience: string) => Promise<TokenReviews>,
): Promise<CallerCheck> {
  if (allowed.kind === 'any') return () => Promise.resolve();
  if (allowed.kind === 'mtls') return async ({ certificate }) => checkCertificate(allowed.names, certificate);
  const asked = await reviews(allowed.audience);
  return async ({ tokens: [token, ...others] }) => {
    if (token === undefined || others.length > 0) {
      throw refused('the caller sent no ServiceAccount token; set CIRC_TIER_TOKEN_FILE on the agent');
    }
    const user = await asked.userOf(token);
    if (!allowed.users.has(user)) throw refused(`${user} is not listed in the shared tier’s CIRC_TIER_CLIENTS`);
  };
}

function checkCertificate(allowed: ReadonlySet<string>, certificate: PeerCertificate | undefined): void {
  if (!certificate) {
    throw refused(
      'the caller has no client certificate that the shared tier’s CIRC_TLS_CA_FILE vouches for; ' +
        'set CIRC_TLS_CERT_FILE and CIRC_TLS_KEY_FILE on the agent',
    );
  }
  const names = certificateNames(certificate.subjectaltname);
  if (names.some((name) => allowed.has(name))) return;
  const told = names.slice(0, 5).join(', ').slice(0, 300);
  throw refused(`no name of the client certificate (${told}) is listed in the shared tier’s CIRC_TIER_CLIENTS`);
}

function refused(message: string): OciError {
  return new OciError('UNAUTHORIZED', message);
}
