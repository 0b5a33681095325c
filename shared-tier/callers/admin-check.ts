import { OciError } from '../../oci/error.ts';
import type { AccessReviews, Deed } from '../kubernetes/access-reviews.ts';
import type { TokenReviews } from '../kubernetes/token-reviews.ts';
import type { AllowedCallers } from './allowed-callers.ts';
import type { CallerCheck } from './caller-check.ts';
import type { Call, CallCheck } from './require-identity.ts';

/** Methods of the admin service begin with it. */
export const ADMIN = '/circ.v1.Admin/';

/** The methods that change nothing; whatever is not listed here needs the right to change things. */
const TELLING = new Set(['GetStats', 'ListRepositories', 'ListBlobs', 'WatchFetches']);

/** What asks the Kubernetes API. */
export interface Reviews {
  readonly tokens: TokenReviews;
  readonly access: AccessReviews;
}

/**
 * May this caller use the admin service? Where callers are known by ServiceAccount tokens, RBAC says it; else only callers
 * on this machine may: who can begin a process here, or was let in by `kubectl port-forward` or `exec`.
 *
 * @param others judges the calls of all other services
 * @param reviews makes what asks the Kubernetes API; called only if it is needed
 */
export async function adminCheck(
  allowed: AllowedCallers,
  others: CallerCheck,
  reviews: (audience: string) => Promise<Reviews>,
): Promise<CallCheck> {
  const admin = allowed.kind === 'tokenreview' ? byRights(await reviews(allowed.audience)) : byPlace(allowed, others);
  return async (call) => await (call.path.startsWith(ADMIN) ? admin : others)(call);
}

function byRights({ tokens, access }: Reviews): CallCheck {
  return async ({ tokens: [token, ...more], path }) => {
    if (token === undefined || more.length > 0) {
      throw new OciError('UNAUTHORIZED', 'the caller sent no ServiceAccount token; set CIRC_TIER_TOKEN_FILE');
    }
    const identity = await tokens.identityOf(token);
    const deed = deedOf(path);
    if (await access.isAllowed(identity, deed)) return;
    const rule = `nonResourceURLs: ["${deed.path}"], verbs: ["${deed.verb}"]`;
    throw new OciError('UNAUTHORIZED', `${identity.username} may not do this; bind a ClusterRole with ${rule}`, {
      denied: true,
    });
  };
}

function byPlace(allowed: AllowedCallers, others: CallerCheck): CallCheck {
  return async (call) => {
    await others(call);
    if (isHere(call)) return;
    const hint = allowed.kind === 'any' ? '' : ' or, with CIRC_TIER_CLIENTS=tokenreview:…, to who has the right';
    const message = `the admin service answers only on loopback (kubectl port-forward leads there)${hint}`;
    throw new OciError('UNAUTHORIZED', message, { denied: true });
  };
}

function deedOf(path: string): Deed {
  return { path, verb: TELLING.has(path.slice(ADMIN.length)) ? 'get' : 'post' };
}

function isHere({ peer }: Call): boolean {
  return /^(?:127\.0\.0\.1|\[?(?:::ffff:127\.0\.0\.1|::1)\]?):\d+$/.test(peer);
}
