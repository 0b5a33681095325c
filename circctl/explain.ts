import { type ServiceError, status } from '@grpc/grpc-js';
import { isServiceError } from '../proto/status.ts';
import { distrustIn } from '../agent/tier-trust.ts';
import { OciError } from '../oci/error.ts';

/** What went wrong, and what to do about it, for people; one line each. */
export function explain(reason: unknown, tier: string): string[] {
  if (!(reason instanceof OciError)) return [reason instanceof Error ? reason.message : String(reason)];
  const { cause, code } = reason;
  const distrust = distrustIn(reason);
  if (distrust) return [`${tier} and circctl do not trust each other: ${distrust.reason}`, distrust.whatToDo];
  if (isServiceError(cause)) {
    if (cause.code === status.UNIMPLEMENTED)
      return [`${tier} has no admin service: it is no shared tier, or an older one`];
    return [
      `the shared tier at ${tier} cannot be reached: ${detailsOf(cause)}`,
      'set CIRC_SHARED_TIER or --tier to its gRPC address, for instance of kubectl port-forward deploy/circ-shared-tier 5060',
    ];
  }
  if (code === 'UNAUTHORIZED') {
    return ['the registry wants credentials', 'give --username and --password-stdin, or --token-stdin'];
  }
  if (code === 'MANIFEST_UNKNOWN' && reason.message === 'manifest unknown') {
    return ['the registry does not have this image, or not for these credentials'];
  }
  return [reason.message];
}

/** Why a connection could not be made, without gRPC's remarks on how the name was resolved. */
export function detailsOf({ details }: ServiceError): string {
  return details.replace(/\s*Resolution note:.*$/s, '').replace(/\.$/, '');
}
