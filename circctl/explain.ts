import { type ServiceError, status } from '@grpc/grpc-js';
import { isServiceError } from '../proto/status.ts';
import { distrustIn } from '../agent/tier-trust.ts';
import { OciError } from '../oci/error.ts';

const OTHER_NAME = 'through kubectl port-forward: --server-name circ-shared-tier.circ.svc, or what it is called';

/** What went wrong, and what to do about it, for people; one line each. */
export function explain(reason: unknown, tier: string): string[] {
  if (!(reason instanceof OciError)) return [reason instanceof Error ? reason.message : String(reason)];
  const { cause, code } = reason;
  if (isServiceError(cause) && cause.code === status.PERMISSION_DENIED) {
    return [`${tier} refuses this: ${cause.details}`];
  }
  const distrust = distrustIn(reason);
  if (distrust) {
    const why = `${tier} and circctl do not trust each other: ${withoutRemarks(distrust.reason)}`;
    return [why, distrust.whatToDo, ...(distrust.kind === 'certificate' ? [OTHER_NAME] : [])];
  }
  if (isServiceError(cause)) {
    if (cause.code === status.UNIMPLEMENTED)
      return [`${tier} has no admin service: it is no shared tier, or an older one`];
    return [
      `the shared tier at ${tier} cannot be reached: ${detailsOf(cause)}`,
      'set CIRC_SHARED_TIER or --tier to its gRPC address, for instance of kubectl port-forward deploy/circ-shared-tier 5060',
      'if it has TLS, as the chart’s has: CIRC_TLS_CA_FILE has to name its CA',
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

/** Why a connection could not be made. */
export function detailsOf({ details }: ServiceError): string {
  return withoutRemarks(details);
}

/** gRPC remarks on how the name was resolved. */
function withoutRemarks(details: string): string {
  return details.replace(/\s*Resolution note:.*$/s, '').replace(/\.$/, '');
}
