import { ApiException, CoordinationV1Api, type V1Lease, V1MicroTime } from '@kubernetes/client-node';
import { OciError } from '../../oci/error.ts';
import type { KubernetesApi } from '../kubernetes/api.ts';
import type { LeaseApi, LeaseClaim, LeaseRecord } from './lease-api.ts';

export type LeaseVerb = 'create' | 'get' | 'update' | 'delete' | 'list';

/** `conflict`: somebody else was there first; `absent`: there is none; `refused`: not allowed; `unavailable`: no answer. */
export type LeaseResult = 'ok' | 'conflict' | 'absent' | 'refused' | 'unavailable';

export interface KubernetesLeaseApiOptions {
  readonly api: KubernetesApi;
  readonly namespace: string;
  /** Called for each answer of the API. */
  readonly report: (verb: LeaseVerb, result: LeaseResult) => void;
}

/** By these circ's leases are found among others in the namespace. */
const LABELS = { 'app.kubernetes.io/name': 'circ', 'app.kubernetes.io/component': 'fetch' };
const SELECTOR = Object.entries(LABELS)
  .map((label) => label.join('='))
  .join();
const ADDRESS = 'circ/holder-address';
const STORE_ID = 'circ/store-id';
/** More leases than this are no healthy cluster's; the others come with the next list. */
const LIST_LIMIT = 1_000;

/** Kubernetes Leases (https://kubernetes.io/docs/reference/kubernetes-api/cluster-resources/lease-v1/) of one namespace. */
export class KubernetesLeaseApi implements LeaseApi {
  readonly #client: CoordinationV1Api;
  readonly #namespace: string;
  readonly #report: KubernetesLeaseApiOptions['report'];

  constructor({ api, namespace, report }: KubernetesLeaseApiOptions) {
    this.#client = api.makeApiClient(CoordinationV1Api);
    this.#namespace = namespace;
    this.#report = report;
  }

  async create(name: string, claim: LeaseClaim): Promise<LeaseRecord | undefined> {
    const now = new Date();
    const body = toLease({ ...claim, name, acquiredAt: now, transitions: 0 }, now);
    const made = await this.#call('create', ['conflict'], () =>
      this.#client.createNamespacedLease({ namespace: this.#namespace, body }),
    );
    return made && toRecord(made);
  }

  async read(name: string): Promise<LeaseRecord | undefined> {
    const found = await this.#call('get', ['absent'], () =>
      this.#client.readNamespacedLease({ name, namespace: this.#namespace }),
    );
    return found && toRecord(found);
  }

  async update(seen: LeaseRecord, claim: LeaseClaim): Promise<LeaseRecord | undefined> {
    const now = new Date();
    const isRenewal = claim.holder.identity === seen.holder.identity;
    const change = isRenewal ? {} : { acquiredAt: now, transitions: seen.transitions + 1 };
    const body = toLease({ ...seen, ...claim, ...change }, now);
    const written = await this.#call('update', ['conflict', 'absent'], () =>
      this.#client.replaceNamespacedLease({ name: seen.name, namespace: this.#namespace, body }),
    );
    return written && toRecord(written);
  }

  async delete({ name, uid, version }: LeaseRecord): Promise<boolean> {
    const body = { preconditions: { uid, resourceVersion: version } };
    const status = await this.#call('delete', ['conflict', 'absent'], () =>
      this.#client.deleteNamespacedLease({ name, namespace: this.#namespace, body }),
    );
    return status !== undefined;
  }

  async list(): Promise<LeaseRecord[]> {
    const list = await this.#call('list', [], () =>
      this.#client.listNamespacedLease({ namespace: this.#namespace, labelSelector: SELECTOR, limit: LIST_LIMIT }),
    );
    return (list?.items ?? []).map(toRecord);
  }

  /** Undefined for what is `expected`: that others are faster is part of the game. */
  async #call<T>(verb: LeaseVerb, expected: readonly LeaseResult[], ask: () => Promise<T>): Promise<T | undefined> {
    try {
      const answer = await ask();
      this.#report(verb, 'ok');
      return answer;
    } catch (error) {
      const result = resultOf(error);
      this.#report(verb, result);
      if (expected.includes(result)) return undefined;
      // The whole exception would log what was sent; the status says enough.
      const cause = error instanceof ApiException ? new Error(`the Kubernetes API answered ${error.code}`) : error;
      const message =
        result === 'refused'
          ? `the Kubernetes API does not let the shared tier ${verb} leases in ${this.#namespace}`
          : 'the Kubernetes API does not answer';
      throw new OciError('UNAVAILABLE', message, { cause });
    }
  }
}

function resultOf(error: unknown): LeaseResult {
  if (!(error instanceof ApiException)) return 'unavailable';
  if (error.code === 409) return 'conflict';
  if (error.code === 404) return 'absent';
  return error.code === 401 || error.code === 403 ? 'refused' : 'unavailable';
}

function toLease(record: Omit<LeaseRecord, 'uid' | 'version'> & { version?: string }, renewedAt: Date): V1Lease {
  const { name, holder, durationMs, version, acquiredAt, transitions } = record;
  return {
    apiVersion: 'coordination.k8s.io/v1',
    kind: 'Lease',
    metadata: {
      name,
      labels: LABELS,
      annotations: { [ADDRESS]: holder.address, [STORE_ID]: holder.storeId },
      // Without a version the API would write over anything.
      ...(version !== undefined && { resourceVersion: version }),
    },
    spec: {
      holderIdentity: holder.identity,
      leaseDurationSeconds: Math.ceil(durationMs / 1000),
      acquireTime: new V1MicroTime(acquiredAt),
      renewTime: new V1MicroTime(renewedAt),
      leaseTransitions: transitions,
    },
  };
}

/** What others have written is not trusted to be complete: what lacks is empty, and leads nowhere. */
function toRecord({ metadata = {}, spec = {} }: V1Lease): LeaseRecord {
  const { name = '', uid = '', resourceVersion: version = '', annotations = {} } = metadata;
  return {
    name,
    uid,
    version,
    holder: {
      identity: spec.holderIdentity ?? '',
      address: annotations[ADDRESS] ?? '',
      storeId: annotations[STORE_ID] ?? '',
    },
    durationMs: (spec.leaseDurationSeconds ?? 0) * 1000,
    acquiredAt: spec.acquireTime ?? new Date(0),
    transitions: spec.leaseTransitions ?? 0,
  };
}
