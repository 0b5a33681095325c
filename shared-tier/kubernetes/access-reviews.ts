import { ApiException, AuthorizationV1Api } from '@kubernetes/client-node';
import { LRUCache } from 'lru-cache';
import { atMost } from '../../content/at-most.ts';
import { OciError } from '../../oci/error.ts';
import { SharedFlight } from '../shared-flight.ts';
import type { KubernetesApi } from './api.ts';
import type { Identity } from './token-reviews.ts';

/** What somebody wants to do: a verb on a URL that is no resource, as the rules of ClusterRoles name them. */
export interface Deed {
  readonly verb: 'get' | 'post';
  readonly path: string;
}

/** So long goes on who has lost the right; people try again at once, so not longer than they would wonder. */
const TTL_MS = 10_000;
const MAX_REMEMBERED = 1_000;

/**
 * Whether somebody may do something, by SubjectAccessReview at the Kubernetes API: who may is said by RBAC
 * (https://kubernetes.io/docs/reference/kubernetes-api/authorization-resources/subject-access-review-v1/).
 */
export class AccessReviews {
  readonly #client: AuthorizationV1Api;
  readonly #known = new LRUCache<string, boolean>({ ...atMost(MAX_REMEMBERED), ttl: TTL_MS });
  readonly #asking = new SharedFlight<boolean>();

  constructor(api: KubernetesApi) {
    this.#client = api.makeApiClient(AuthorizationV1Api);
  }

  /** @throws OciError UNAVAILABLE when the API cannot be asked */
  async isAllowed(identity: Identity, deed: Deed): Promise<boolean> {
    const key = JSON.stringify([identity, deed]);
    return this.#known.get(key) ?? (await this.#asking.run(key, () => this.#ask(key, identity, deed)));
  }

  async #ask(key: string, { username, uid, groups, extra }: Identity, { verb, path }: Deed): Promise<boolean> {
    const nonResourceAttributes = { verb, path };
    const spec = {
      user: username,
      ...(uid !== undefined && { uid }),
      groups: [...groups],
      extra,
      nonResourceAttributes,
    };
    try {
      const body = { apiVersion: 'authorization.k8s.io/v1', kind: 'SubjectAccessReview', spec };
      const { status } = await this.#client.createSubjectAccessReview({ body });
      const isAllowed = status?.allowed === true && status.denied !== true;
      this.#known.set(key, isAllowed);
      return isAllowed;
    } catch (error) {
      const cause = error instanceof ApiException ? new Error(`the Kubernetes API answered ${error.code}`) : error;
      const may = error instanceof ApiException && error.code === 403;
      const message = may
        ? 'the shared tier’s ServiceAccount may not create subjectaccessreviews.authorization.k8s.io; let it'
        : 'the shared tier cannot ask the Kubernetes API who may do this';
      throw new OciError('UNAVAILABLE', message, { cause });
    }
  }
}
