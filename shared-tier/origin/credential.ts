import type { Authorization } from '../../oci/authorization.ts';

/** On whose behalf an origin is asked. Lives as long as the request that brought it, and the fetch that it began. */
export interface Credential {
  /** Stands for it in keys: equal for equal credentials, and tells nothing of them. */
  readonly key: string;
  /** Undefined: anonymous. */
  readonly authorization: Authorization | undefined;
  /** Its owner may be asked for better credentials, because it sent none: when an origin limits anonymous readers, say. */
  readonly mayBeAsked: boolean;
}

/** Who sent no credentials. */
export const ANONYMOUS: Credential = { key: 'anonymous', authorization: undefined, mayBeAsked: true };
