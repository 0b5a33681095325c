import { Metadata, type ServiceError, status } from '@grpc/grpc-js';
import { ERROR_CODES, type ErrorCode, OciError } from '../oci/error.ts';

/** The one mapping from circ's codes to gRPC's, used by both ends. */
const GRPC_STATUS: Record<ErrorCode, status> = {
  NAME_INVALID: status.INVALID_ARGUMENT,
  TAG_INVALID: status.INVALID_ARGUMENT,
  DIGEST_INVALID: status.INVALID_ARGUMENT,
  AUTHORIZATION_INVALID: status.INVALID_ARGUMENT,
  RANGE_INVALID: status.OUT_OF_RANGE,
  UNAUTHORIZED: status.UNAUTHENTICATED,
  NAME_UNKNOWN: status.NOT_FOUND,
  MANIFEST_UNKNOWN: status.NOT_FOUND,
  BLOB_UNKNOWN: status.NOT_FOUND,
  BLOB_UPLOAD_UNKNOWN: status.NOT_FOUND,
  BLOB_UPLOAD_INVALID: status.INVALID_ARGUMENT,
  SIZE_INVALID: status.INVALID_ARGUMENT,
  PUSH_REFUSED: status.FAILED_PRECONDITION,
  ENDPOINT_UNKNOWN: status.UNIMPLEMENTED,
  UNSUPPORTED: status.UNIMPLEMENTED,
  INTERNAL: status.INTERNAL,
  CORRUPT: status.DATA_LOSS,
  UNAVAILABLE: status.UNAVAILABLE,
};

const CODE = 'circ-code';
const DENIED = 'circ-denied';
/** Binary, because a challenge is passed on byte for byte; one value a line of `WWW-Authenticate`. */
const CHALLENGE = 'circ-challenge-bin';

/** What a handler answers for something that was thrown. */
export function toGrpcError(reason: unknown): Pick<ServiceError, 'code' | 'details' | 'metadata'> {
  const error = OciError.from(reason);
  const metadata = new Metadata();
  metadata.set(CODE, error.code);
  if (error.denied) metadata.set(DENIED, 'true');
  for (const line of error.challenge ?? []) metadata.add(CHALLENGE, Buffer.from(line, 'latin1'));
  return { code: GRPC_STATUS[error.code], details: error.message, metadata };
}

/** What a caller makes of a failed call. Without circ's own code it is the transport that failed. */
export function fromGrpcError(reason: unknown): OciError {
  if (!isServiceError(reason)) return OciError.from(reason);
  const text = reason.metadata.get(CODE)[0];
  const code = ERROR_CODES.find((each) => each === text);
  if (!code) return new OciError('UNAVAILABLE', 'the shared tier cannot be asked now', { cause: reason });
  const challenge = reason.metadata.get(CHALLENGE).map((line) => line.toString('latin1'));
  const denied = reason.metadata.get(DENIED)[0] === 'true';
  return new OciError(code, reason.details, { denied, ...(challenge.length > 0 && { challenge }) });
}

/** What a call fails with whose connection was given up before it could be sent. */
export function connectionClosed(): ServiceError {
  const details = 'the connection is closed';
  return Object.assign(new Error(details), { code: status.CANCELLED, details, metadata: new Metadata() });
}

/** Did the transport fail, so that the same can be asked of another replica? Not when the time for an answer is over. */
export function isUnanswered(error: unknown): boolean {
  const cause = error instanceof OciError ? error.cause : undefined;
  return isServiceError(cause) && cause.code !== status.DEADLINE_EXCEEDED;
}

/** An answer of gRPC itself, or of what is under it. */
export function isServiceError(reason: unknown): reason is ServiceError {
  return reason instanceof Error && 'code' in reason && 'details' in reason && 'metadata' in reason;
}
