import { status } from '@grpc/grpc-js';
import { OciError } from '../oci/error.ts';
import { isServiceError } from '../proto/status.ts';

/** Who refused: this agent the tier's certificate, or the tier this agent; or our own token cannot be read. */
export const DISTRUST_KINDS = ['certificate', 'identity', 'token'] as const;

/** Why agent and shared tier do not trust each other. */
export interface Distrust {
  readonly kind: (typeof DISTRUST_KINDS)[number];
  /** For people. */
  readonly reason: string;
  readonly whatToDo: string;
}

const CERTIFICATE =
  'check that CIRC_TLS_CA_FILE has the CA of the shared tier’s certificate, and that the certificate names the host of CIRC_SHARED_TIER';
const IDENTITY = 'check CIRC_TIER_TOKEN_FILE or CIRC_TLS_CERT_FILE here, and CIRC_TIER_CLIENTS at the shared tier';
const TOKEN = 'check that CIRC_TIER_TOKEN_FILE names the projected ServiceAccount token';
/** In the words of OpenSSL and Node; gRPC passes on nothing else. */
const TLS_TROUBLE = /certificate|altname|\bssl\b|\btls\b|secure TLS connection|wrong version number/i;

/**
 * What the failure of a question (an OciError) or of a connection says about trust; undefined when it says nothing. An
 * answer of the tier itself, an origin's challenge for instance, has no cause.
 */
export function distrustIn(error: unknown): Distrust | undefined {
  const cause = error instanceof OciError ? error.cause : error;
  if (!(cause instanceof Error)) return undefined;
  if (isServiceError(cause)) return inStatus(cause.code, cause.details);
  if (error instanceof OciError) return { kind: 'token', reason: cause.message, whatToDo: TOKEN };
  return TLS_TROUBLE.test(cause.message) ? certificateOf(cause.message) : undefined;
}

function inStatus(code: status, details: string): Distrust | undefined {
  if (code === status.UNAUTHENTICATED || code === status.PERMISSION_DENIED) {
    return { kind: 'identity', reason: details, whatToDo: IDENTITY };
  }
  return code === status.UNAVAILABLE && TLS_TROUBLE.test(details) ? certificateOf(details) : undefined;
}

function certificateOf(reason: string): Distrust {
  return { kind: 'certificate', reason, whatToDo: CERTIFICATE };
}
